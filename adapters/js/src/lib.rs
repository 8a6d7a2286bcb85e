//! `selvedge-core` as a wasm module for JavaScript hosts.
//!
//! The module is the same for every policy. It imports nothing and is driven by `driver.mjs`: the driver writes a message of
//! [`selvedge_core::wire`] into the module's memory, calls [`receive`], and reads the message that answers it. A request
//! that needs no effect crosses the boundary once.
//!
//! A crate with handlers gives them to [`module!`](crate::module), in a crate of its own that is built as a `cdylib`;
//! `selvedge build` writes that crate.
//!
//! # Panics
//! A panic on this target cannot be caught: it ends the call with a trap. The message is kept where
//! [`crash`] tells the driver to look. What other requests hold in the module stays whole: they are resumed in it, while
//! new requests go to a fresh instance. So nothing here holds a borrow while a handler's code runs.

mod module;
mod output;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use selvedge_core::engine::EngineBuilder;

pub use module::{Module, Outgoing, Waiting, variables};

use output::{Output, address};

thread_local! {
    static MODULE: RefCell<Option<Rc<dyn Receiver>>> = const { RefCell::new(None) };
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTPUT: RefCell<Output> = const { RefCell::new(Output::new()) };
    static CRASH: Crash = const { Crash::new() };
}

/// What answers the driver's messages.
///
/// A handler may panic while a message is answered, which ends the call: nothing may be borrowed then.
pub trait Receiver {
    /// Answers a message: its text, and the bytes beside it.
    ///
    /// # Errors
    /// A sentence, when the message is none.
    fn answer(&self, text: &[u8], bytes: &[u8]) -> Result<Outgoing, String>;

    /// Drops an exchange whose client has gone.
    fn forget(&self, exchange: u32);
}

/// Longest message of a panic that is kept, in bytes.
const MAX_CRASH_BYTES: usize = 512;

/// Exports the module's functions, with the handlers that a function adds to an
/// [`EngineBuilder`], or without handlers.
///
/// # Examples
/// ```ignore
/// selvedge_js::module!();
/// selvedge_js::module!(shop::handlers);
/// ```
#[macro_export]
macro_rules! module {
    () => {
        $crate::module!(::core::convert::identity);
    };
    ($handlers:path) => {
        /// See `selvedge_js::input`.
        #[unsafe(no_mangle)]
        pub extern "C" fn selvedge_input(bytes: usize) -> usize {
            $crate::input(bytes)
        }

        /// See `selvedge_js::load`.
        #[unsafe(no_mangle)]
        pub extern "C" fn selvedge_load(policy: usize, environment: usize) -> usize {
            $crate::load(policy, environment, $handlers)
        }

        /// See `selvedge_js::receive`.
        #[unsafe(no_mangle)]
        pub extern "C" fn selvedge_receive(text: usize, bytes: usize) -> usize {
            $crate::receive(text, bytes)
        }

        /// See `selvedge_js::forget`.
        #[unsafe(no_mangle)]
        pub extern "C" fn selvedge_forget(exchange: u32) {
            $crate::forget(exchange);
        }

        /// See `selvedge_js::crash`.
        #[unsafe(no_mangle)]
        pub extern "C" fn selvedge_crash() -> usize {
            $crate::crash()
        }
    };
}

/// The message of the last panic: its length, then its bytes, in this order.
#[repr(C)]
struct Crash {
    length: Cell<u32>,
    message: [Cell<u8>; MAX_CRASH_BYTES],
}

impl Crash {
    const fn new() -> Self {
        Self { length: Cell::new(0), message: [const { Cell::new(0) }; MAX_CRASH_BYTES] }
    }

    fn keep(&self, message: &str) {
        let end = message.floor_char_boundary(MAX_CRASH_BYTES);
        self.length.set(u32::try_from(end).unwrap_or(0));
        for (place, byte) in self.message.iter().zip(message[..end].bytes()) {
            place.set(byte);
        }
    }
}

/// Makes room for a message from the driver and returns its address.
///
/// The address holds until the next call of this function.
pub fn input(bytes: usize) -> usize {
    INPUT.with_borrow_mut(|input| {
        input.resize(bytes.max(input.len()), 0);
        address(input)
    })
}

/// Compiles the policy that lies in the input.
///
/// `policy` bytes are the policy of [`selvedge_core::policy::blob`], and `environment` bytes after them are lines `NAME=value`.
/// Returns the address of five numbers: address and length of a text, address and length of bytes beside it, and what to do
/// with the text: 0 to read it, an odd number to read it and to keep what it says under that number, and an even number to take
/// what was kept under the number before it. The text is `L`, the facts that the policy can read at first
/// ([`FactSet::bits`](selvedge_core::facts::FactSet::bits)), the request headers that it can read at first (their number and the names), and an answer
/// for when everything fails; or `!` and an error.
pub fn load(policy: usize, environment: usize, handlers: fn(EngineBuilder) -> EngineBuilder) -> usize {
    load_as(policy, environment, |policy, environment| {
        let (module, greeting) = Module::load(policy, environment, handlers)?;
        Ok((Rc::new(module), greeting))
    })
}

/// Does as [`load`], for a platform that answers messages in its own way; `make` is given the policy and the environment.
pub fn load_as(
    policy: usize,
    environment: usize,
    make: impl FnOnce(&[u8], &[u8]) -> Result<(Rc<dyn Receiver>, Outgoing), String>,
) -> usize {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("a panic");
        let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
        CRASH.with(|crash| crash.keep(&format!("{message}{}", place.unwrap_or_default())));
    }));
    match with_input(policy, environment, make) {
        Ok((module, greeting)) => {
            MODULE.set(Some(module));
            answer(greeting)
        }
        Err(error) => fail(&error),
    }
}

/// Reads a message of `text` bytes, with `bytes` bytes behind it, from the input, and returns the place of
/// the answer as [`load`] does.
///
/// The answer is one of [`selvedge_core::wire`], or `H` when the request needs all of its headers, or `!` and an error.
pub fn receive(text: usize, bytes: usize) -> usize {
    // A clone, so that a handler that panics leaves no borrow behind.
    let Some(module) = MODULE.with_borrow(Clone::clone) else { return fail("no policy is loaded") };
    answer_with(text, bytes, |text, bytes| module.answer(text, bytes))
}

/// Drops an exchange whose client has gone.
pub fn forget(exchange: u32) {
    if let Some(module) = MODULE.with_borrow(Clone::clone) {
        module.forget(exchange);
    }
}

/// Returns where the message of the last panic lies: four bytes of length, then the text.
#[must_use]
pub fn crash() -> usize {
    CRASH.with(|crash| std::ptr::from_ref(crash).addr())
}

/// Gives the first bytes of the input to a function.
pub fn read_input<T>(bytes: usize, read: impl FnOnce(&[u8]) -> T) -> T {
    with_input(bytes, 0, |bytes, _| read(bytes))
}

/// Gives the two parts of the input to a function and returns the place of its answer, as [`load`] does.
pub fn answer_with(
    first: usize,
    second: usize,
    read: impl FnOnce(&[u8], &[u8]) -> Result<Outgoing, String>,
) -> usize {
    match with_input(first, second, read) {
        Ok(message) => answer(message),
        Err(error) => fail(&error),
    }
}

/// Gives the two parts of the input to a function; a part that is not there is empty.
fn with_input<T>(first: usize, second: usize, read: impl FnOnce(&[u8], &[u8]) -> T) -> T {
    let input = INPUT.take();
    let (first, rest) = input.split_at_checked(first).unwrap_or((&[], &[]));
    let result = read(first, rest.get(..second).unwrap_or_default());
    INPUT.set(input);
    result
}

fn answer(message: Outgoing) -> usize {
    OUTPUT.with_borrow_mut(|output| output.put(message))
}

fn fail(error: &str) -> usize {
    answer(Outgoing { text: format!("!\n{error}").into_bytes(), bytes: Vec::new(), is_common: false })
}
