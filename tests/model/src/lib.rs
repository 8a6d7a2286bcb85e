//! A model of a shared cache that the core is compared with, and a crowd that it is simulated under.
//!
//! - [`oracle`] is the model: a shared cache as [RFC 9111](https://www.rfc-editor.org/rfc/rfc9111) has it, with the differences that
//!   the core documents. It knows no header's syntax and uses no decision of the core.
//! - [`edge`] is what it is compared with: the whole engine behind [`Exchange`](selvedge_core::exchange::Exchange), with a store and a
//!   clock of its own.
//! - [`plan`] makes sequences of steps, [`check`] runs one on both.
//! - [`crowd`] lets many clients ask at once, in virtual time; [`outage`] lets backends fail under them.

pub mod check;
pub mod crowd;
pub mod edge;
pub mod message;
pub mod oracle;
pub mod origin;
pub mod outage;
pub mod plan;
pub mod store;

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// When every sequence begins, on a whole second.
pub const START: Millis = 1_700_000_000_000;

/// The policy that sequences run under; [`message::Route`] names its routes.
pub const POLICY: &str = r#"
[backends.origin]
url = "http://origin.test"

[limits]
methods = ["GET", "HEAD", "POST", "PUT", "DELETE"]

[[routes]]
path = "/plain/{*rest}"
backend = "origin"

[[routes]]
path = "/ruled/{*rest}"
backend = "origin"
cache = { edge = "30s", stale-while-revalidate = "20s", stale-if-error = "40s", negative = "10s" }

[[routes]]
path = "/obey/{*rest}"
backend = "origin"
cache = { client-directives = "obey" }

[[routes]]
path = "/guess/{*rest}"
backend = "origin"
cache = { heuristic = true }
"#;
