//! One policy and the exchanges under way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use http::header::SET_COOKIE;
use selvedge_core::engine::{Engine, EngineBuilder};
use selvedge_core::exchange::{Exchange, Input, Rest, Step};
use selvedge_core::policy::blob;
use selvedge_core::time::Timestamp;
use selvedge_core::wire::{self, Begin, BeginJob, Incoming, Message, Told, Whole};

use crate::Receiver;

/// The variable of the environment with which the driver keeps an access log.
const ACCESS_LOG: &str = "SELVEDGE_ACCESS_LOG";

/// A message to the driver.
#[derive(Debug)]
pub struct Outgoing {
    /// Its lines.
    pub text: Vec<u8>,
    /// The bytes beside them.
    pub bytes: Vec<u8>,
    /// Whether it is a response, and nothing else, that a request gets whenever the rest of its message is the same, whatever time and
    /// seed say.
    pub is_common: bool,
}

/// A compiled policy with the exchanges that wait for effects; clones share both.
#[derive(Clone)]
pub struct Module {
    engine: Arc<Engine>,
    answers_repeat: bool,
    /// Whether the driver tells requests to a log.
    tells_names: bool,
    names: Rc<[HeaderName]>,
    waiting: Rc<RefCell<Waiting<Exchange>>>,
}

/// What waits for effects, by number. 0 is nobody's: answers that need no effect carry it.
#[derive(Debug)]
pub struct Waiting<T> {
    last: u32,
    exchanges: BTreeMap<u32, T>,
}

impl Module {
    /// Compiles a policy, and says what the driver has to know of it.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the policy or missing from the environment.
    pub fn load(
        policy: &[u8],
        environment: &[u8],
        handlers: fn(EngineBuilder) -> EngineBuilder,
    ) -> Result<(Self, Outgoing), String> {
        let policy = blob::decode(policy).map_err(|error| error.to_string())?;
        let environment = variables(environment)?;
        let tells_names = environment.get(ACCESS_LOG).is_some_and(|share| !share.is_empty());
        let builder = Engine::builder(policy).environment(move |name| environment.get(name).cloned());
        let engine = handlers(builder).compile().map_err(|error| error.to_string())?;
        let interest = engine.interest();
        let names = interest.headers;
        let last_resort = wire::encode_answer(&engine.last_resort(), Told::Codes);
        let Outgoing { text, bytes, .. } = Outgoing::of(last_resort);
        let (count, facts) = (names.len(), interest.facts.bits());
        let log = engine.policy().log.bits();
        let greeting = format!("L\n{facts}\n{log}\n{count}\n{}\n", names.join("\n")).into_bytes();
        let parsed = names.iter().map(|name| HeaderName::from_bytes(name.as_bytes()));
        let names = parsed.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let answers_repeat = !interest.request_id;
        let module =
            Self { engine: Arc::new(engine), answers_repeat, tells_names, names, waiting: Rc::default() };
        Ok((module, Outgoing { text: [greeting, text].concat(), bytes, is_common: false }))
    }

    /// Reads a message from the driver.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn read(&self, text: &[u8], bytes: &[u8]) -> Result<Incoming, String> {
        wire::decode(&Bytes::copy_from_slice(text), bytes, &self.names).map_err(|error| error.to_string())
    }

    /// Takes one message and answers it.
    ///
    /// # Errors
    /// A sentence, when the message is about an exchange that is not there.
    pub fn receive(&self, incoming: Incoming) -> Result<Outgoing, String> {
        match incoming {
            Incoming::Begin(begin) => Ok(self.begin(*begin)),
            Incoming::Job(begin) => {
                let BeginJob { job, crash, seed, now } = *begin;
                let exchange = Exchange::of_job(Arc::clone(&self.engine), job, seed, crash);
                let number = self.waiting.borrow_mut().next_number();
                Ok(self.step(number, exchange, Input::Begin, now))
            }
            Incoming::Completed { exchange: number, id, result, now } => {
                // The exchange is out of the table while it runs: a handler that panics takes no other one with it.
                let taken = self.waiting.borrow_mut().take(number);
                let exchange = taken.ok_or_else(|| format!("there is no exchange {number}"))?;
                Ok(self.step(number, exchange, Input::Completed { id, result: *result }, now))
            }
            Incoming::BodyEnded { place, probe, status, end, now } => {
                self.engine.health().body(place, probe).tell(status, end, now);
                Ok(Outgoing::of(wire::encode_step(0, &Step::Done, Told::Codes)))
            }
        }
    }

    /// Drops an exchange.
    pub fn forget(&self, exchange: u32) {
        let forgotten = self.waiting.borrow_mut().take(exchange);
        drop(forgotten);
    }

    /// Returns how many exchanges wait for effects.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.borrow().exchanges.len()
    }

    fn told(&self) -> Told<'_> {
        if self.tells_names { Told::Names(self.engine.policy()) } else { Told::Codes }
    }

    fn begin(&self, begin: Begin) -> Outgoing {
        let Begin { request, whole, facts, seed, now } = begin;
        let engine = Arc::clone(&self.engine);
        let exchange = match whole {
            Whole::Yes => Exchange::new(engine, request, facts, seed),
            Whole::AfterCrash(message) => Exchange::after_crash(engine, request, facts, seed, message),
            Whole::Without(omitted) => {
                return match self.engine.answer_alone(request, facts, seed, omitted, now) {
                    Some(answer) => {
                        let is_common = self.answers_repeat
                            && answer.records.is_empty()
                            && !answer.response.headers().contains_key(SET_COOKIE);
                        Outgoing { is_common, ..Outgoing::of(wire::encode_answer(&answer, self.told())) }
                    }
                    None => Outgoing { text: b"H".to_vec(), bytes: Vec::new(), is_common: false },
                };
            }
        };
        let number = self.waiting.borrow_mut().next_number();
        self.step(number, exchange, Input::Begin, now)
    }

    fn step(&self, number: u32, mut exchange: Exchange, input: Input, now: Timestamp) -> Outgoing {
        let step = exchange.poll(input, now);
        let goes_on = match &step {
            Step::Effects(_) => true,
            Step::Respond(respond) => respond.rest == Rest::Pending,
            Step::Settle(settle) => settle.rest == Rest::Pending,
            Step::Depart(depart) => depart.rest == Rest::Pending,
            Step::Done => false,
        };
        if goes_on {
            self.waiting.borrow_mut().put(number, exchange);
        }
        Outgoing::of(wire::encode_step(number, &step, self.told()))
    }
}

impl Receiver for Module {
    fn answer(&self, text: &[u8], bytes: &[u8]) -> Result<Outgoing, String> {
        self.receive(self.read(text, bytes)?)
    }

    fn forget(&self, exchange: u32) {
        Self::forget(self, exchange);
    }
}

impl Outgoing {
    /// A message as the core wrote it.
    #[must_use]
    pub fn of(message: Message) -> Self {
        let (text, bytes) = message.into_parts();
        Self { text, bytes, is_common: false }
    }
}

impl<T> Waiting<T> {
    /// Returns a number that nothing has.
    #[must_use]
    pub fn next_number(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1).max(1);
            if !self.exchanges.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// Lets something wait.
    pub fn put(&mut self, number: u32, waiting: T) {
        self.exchanges.insert(number, waiting);
    }

    /// Takes what waits under a number.
    #[must_use]
    pub fn take(&mut self, number: u32) -> Option<T> {
        self.exchanges.remove(&number)
    }
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { last: 0, exchanges: BTreeMap::new() }
    }
}

/// Reads lines `NAME=value`.
///
/// # Errors
/// When a line has no `=`, or the text is not UTF-8.
pub fn variables(lines: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(lines).map_err(|error| error.to_string())?;
    let variable = |line: &str| {
        let (name, value) = line.split_once('=').ok_or("a line of the environment has no `=`")?;
        Ok((name.to_owned(), value.to_owned()))
    };
    text.lines().map(variable).collect()
}

#[cfg(test)]
mod tests {
    use selvedge_core::handler::HandlerContext;
    use selvedge_core::policy::read::read;

    use super::*;

    const POLICY: &str = r#"
        [log]
        query = "names"
        user-agent = true

        [backends.a]
        url = "http://a.test"
        request-headers = { x-key = { env = "KEY" } }

        [[routes]]
        path = "/fixed"
        respond = { body = "fixed {header.x-name}" }

        [[routes]]
        path = "/from-a"
        backend = "a"
        cache = { store = false }

        [[routes]]
        path = "/wait"
        handler = "wait"

        [fallback]
        page = { status = 503, body = "sorry" }
    "#;

    fn handlers(builder: EngineBuilder) -> EngineBuilder {
        builder.handler("wait", |context: HandlerContext| async move {
            let _ = context.kv_get("key").await;
            panic!("it panics after its effect")
        })
    }

    fn load(environment: &str) -> Result<(Module, Outgoing), String> {
        let policy = read(POLICY).expect("the policy has no errors");
        Module::load(&blob::encode(&policy), environment.as_bytes(), handlers)
    }

    fn module() -> Module {
        load("KEY=s=cret").expect("the policy compiles").0
    }

    fn begin(path: &str, whole: &str, fields: &str) -> String {
        let omitted = if whole == "part" { "\n10" } else { "" };
        format!("B\n1000\nGET\nhttp://shop.test{path}{}\n{fields}\n{whole}{omitted}\n0", "\n".repeat(14))
    }

    fn send(module: &Module, text: &str) -> Result<String, String> {
        let bytes: &[u8] = if text.starts_with('B') { &[7; 16] } else { b"" };
        let outgoing = module.read(text.as_bytes(), bytes).and_then(|incoming| module.receive(incoming))?;
        Ok(String::from_utf8(outgoing.text).expect("the answer is UTF-8"))
    }

    #[test]
    fn the_greeting_tells_which_headers_the_policy_reads_and_what_to_answer_at_last() {
        let (_, Outgoing { text, bytes, .. }) = load("KEY=1").expect("the policy compiles");
        let text = String::from_utf8(text).expect("the greeting is UTF-8");
        let lines: Vec<_> = text.split('\n').collect();
        let count: usize = lines[3].parse().expect("a number");
        assert!(lines[4..4 + count].contains(&"x-name"), "{lines:?}");
        assert_eq!((lines[0], lines[4 + count], lines[4 + count + 6]), ("L", "R", "503"), "{lines:?}");
        assert_eq!(lines[2], "6", "the policy allows names of queries and user agents");
        assert_eq!((lines.last().copied(), bytes), (Some("sorry"), Vec::new()));
    }

    #[test]
    fn what_the_policy_lacks_is_said() {
        assert!(load("").err().is_some_and(|error| error.contains("`KEY`")));
        assert!(load("KEY").err().is_some_and(|error| error.contains("has no `=`")));
        let error = Module::load(b"nonsense", b"", handlers).err();
        assert_eq!(error.as_deref(), Some("this is not a compiled policy"));
    }

    #[test]
    fn an_answer_that_needs_no_effect_leaves_nothing_behind() {
        let module = module();
        let text = send(&module, &begin("/fixed", "part", "x-name\nAda\n")).expect("an answer");
        assert!(text.starts_with("R\n0\n0\nroute.responded\n\n\n200\n'9\n"), "{text}");
        assert_eq!(module.waiting(), 0);
    }

    #[test]
    fn a_request_that_needs_more_asks_for_all_of_its_headers() {
        let module = module();
        assert_eq!(send(&module, &begin("/from-a", "part", "")).as_deref(), Ok("H"));
        let text = send(&module, &begin("/from-a", "whole", "x-other\n1\n")).expect("an effect");
        assert!(text.starts_with("E\n1\n1\nF\n0\na\n"), "{text}");
        assert!(text.contains("\nx-other\n1") && text.contains("\nx-key\ns=cret"), "{text}");
        assert_eq!(module.waiting(), 1);
        let text = send(&module, "C\n1001\n1\n0\nfetch\n200\n-\n0").expect("a response");
        assert!(text.starts_with("R\n1\n0\nbackend.responded\ncache.bypass\n\n200\n-\n"), "{text}");
        assert_eq!(module.waiting(), 0);
        let error = send(&module, "C\n1001\n1\n0\nfetch\n200\n-\n0");
        assert_eq!(error, Err("there is no exchange 1".to_owned()));
    }

    #[test]
    fn a_driver_with_an_access_log_is_told_the_names_of_what_was_decided() {
        for (share, names) in [("0.1", "/from-a\u{1f}a\u{1f}unknown\u{1f}\u{1f}"), ("", "")] {
            let module = load(&format!("KEY=1\nSELVEDGE_ACCESS_LOG={share}")).expect("the policy compiles").0;
            send(&module, &begin("/from-a", "whole", "")).expect("an effect");
            let text = send(&module, "C\n1001\n1\n0\nfetch\n200\n-\n0").expect("a response");
            let lines: Vec<_> = text.split('\n').collect();
            assert_eq!((lines[3], lines[5], lines[6]), ("backend.responded", names, "200"), "{text}");
        }
    }

    #[test]
    fn a_request_whose_handler_crashed_gets_the_fallback() {
        let module = module();
        let text = send(&module, &begin("/wait", "crashed\nit panicked", "")).expect("an answer");
        assert!(text.starts_with("R\n1\n0\nfallback.page\n\n\n503\n'5\n"), "{text}");
        assert!(
            text.ends_with("X\n0\nhandler-failure\nwait\nit panicked\nhandler.panicked\nsorry"),
            "{text}"
        );
    }

    #[test]
    fn an_exchange_whose_client_has_gone_is_dropped() {
        let module = module();
        send(&module, &begin("/wait", "whole", "")).expect("an effect");
        assert_eq!(module.waiting(), 1);
        module.forget(1);
        assert_eq!(module.waiting(), 0);
    }

    #[test]
    fn numbers_are_never_given_twice_at_a_time() {
        let mut waiting = Waiting::<()> { last: u32::MAX - 1, ..Waiting::default() };
        assert_eq!((waiting.next_number(), waiting.next_number()), (u32::MAX, 1), "0 is no exchange's");
    }
}
