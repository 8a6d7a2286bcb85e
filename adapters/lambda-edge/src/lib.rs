//! A policy on Lambda@Edge, as a wasm module that Node.js drives.
//!
//! The module speaks as [`selvedge_js`] does, with messages of its own: an event comes in as `T`, its time, what crashed the module that
//! had it before (or nothing), and the event's JSON, with a seed beside it. It is answered by `T`, a number, whether results are still
//! wanted, what the function returns as JSON, what came of the request (or nothing), the rules of CloudFront's that it would have broken (their number and a line each) and the
//! last effects; or by effects, as in [`selvedge_core::wire`].
//!
//! The request of a viewer-request event may come in part: as `V`, the time, the address where it is read, the method, path and query, what the
//! fields weigh that are left out, and the fields, each a line `:` and the place of its name and a line with its value. It is answered as
//! an event, or by `F` and the values of the two headers that it goes on with.
//!
//! [`load`] is given settings before the environment: lines `:key=` (base64url), `:https-only=` (0 or 1), and `:access-log=`
//! where the driver keeps an access log. Only then is told what came of a request, in the event that is the function's last of it: codes of
//! the outcome and of the cache, and names of route, backend and bot category, with U+001F between them.

mod module;

use std::rc::Rc;

use selvedge_core::engine::EngineBuilder;
use selvedge_core::headers::imitation;
use selvedge_js::Receiver;

pub use module::EdgeModule;
pub use selvedge_js::{crash, forget, input, receive};

/// Exports the module's functions, with the handlers that a function adds to an [`EngineBuilder`], or without handlers.
///
/// # Examples
/// ```ignore
/// selvedge_lambda_edge::module!();
/// selvedge_lambda_edge::module!(shop::handlers);
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

        /// See `selvedge_lambda_edge::places`.
        #[unsafe(no_mangle)]
        pub extern "C" fn selvedge_places(bytes: usize) -> usize {
            $crate::places(bytes)
        }

        /// See `selvedge_lambda_edge::load`.
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

        /// See `selvedge_lambda_edge::imitates`.
        #[unsafe(no_mangle)]
        pub extern "C" fn selvedge_imitates(bytes: usize) -> usize {
            $crate::imitates(bytes)
        }

        /// See `selvedge_js::crash`.
        #[unsafe(no_mangle)]
        pub extern "C" fn selvedge_crash() -> usize {
            $crate::crash()
        }
    };
}

/// Takes a database of clients' places of this many bytes from the input, for the [`load`] that follows.
///
/// Returns where the answer lies, as [`selvedge_js::load`] does: `P`, and why all places are unknown where it cannot be read.
#[must_use]
pub fn places(bytes: usize) -> usize {
    selvedge_js::answer_with(bytes, 0, |database, _| Ok(module::keep_places(database)))
}

/// Returns 1 where the header name of this many bytes in the input imitates what only a platform can know, and 0 elsewhere.
#[must_use]
pub fn imitates(bytes: usize) -> usize {
    selvedge_js::read_input(bytes, |name| {
        usize::from(std::str::from_utf8(name).is_ok_and(imitation::is_imitation))
    })
}

/// Compiles the policy that lies in the input; as [`selvedge_js::load`], with settings before the environment.
///
/// The answer is `L`, whether the client's address is read (1 or 0), the names of the fields of a request in part (their number and the
/// names), and the response for when everything fails, as JSON.
#[must_use]
pub fn load(policy: usize, environment: usize, handlers: fn(EngineBuilder) -> EngineBuilder) -> usize {
    selvedge_js::load_as(policy, environment, |policy, environment| {
        let (module, greeting) = EdgeModule::load(policy, environment, handlers)?;
        Ok((Rc::new(module) as Rc<dyn Receiver>, greeting))
    })
}
