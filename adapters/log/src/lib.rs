//! What goes into a log that a platform keeps of a program's output: one line of JSON each.

pub mod access;
pub mod cache_status;
pub mod embedded;
mod escape;
pub mod request;
pub mod sample;
pub mod trace;
pub mod waits;

use std::io::Write;

use escape::escape;
use selvedge_core::effect::Record;
use serde_json::{Value, json};

/// Writes a record on the standard output.
pub fn write_record(record: &Record) {
    write_line(std::io::stdout(), &line(record));
}

/// Writes a message on the standard error, with a level such as `ERROR`.
pub fn write_log(level: &str, message: &str) {
    write_line(std::io::stderr(), &json!({ "level": level, "selvedge": "log", "message": message }));
}

/// Writes a line that ends as one, such as [`Access::to_line`](access::Access::to_line) makes it, on the standard output.
pub fn write_access(line: &[u8]) {
    let _ = std::io::stdout().write_all(line);
}

/// A record as one line of the log.
fn line(record: &Record) -> Value {
    match record {
        Record::Exposure { experiment, variation, reason } => json!({
            "level": "INFO", "selvedge": "exposure",
            "experiment": **experiment, "variation": **variation, "reason": reason.code(),
        }),
        Record::HandlerFailure { handler, reason, message } => json!({
            "level": "ERROR", "selvedge": "handler-failure",
            "handler": handler, "reason": reason.code(), "message": message,
        }),
        Record::JobFailure { name, id, message, settlement } => json!({
            "level": "WARN", "selvedge": "job-failure",
            "name": name, "id": id, "message": message, "settlement": settlement.to_string(),
        }),
        Record::Event { name, value } => json!({
            "level": "INFO", "selvedge": "event", "name": name, "value": value,
        }),
        _ => json!({ "level": "INFO", "selvedge": "record", "message": format!("{record:?}") }),
    }
}

/// A log that is gone is no reason to leave a client without an answer. One write a line, so that those of requests that
/// are in flight together do not run into one another.
fn write_line(mut to: impl Write, line: &Value) {
    let mut line = line.to_string().into_bytes();
    escape(&mut line);
    line.push(b'\n');
    let _ = to.write_all(&line);
}

#[cfg(test)]
mod tests {
    use selvedge_core::reason::Reason;

    use super::*;

    #[test]
    fn a_handler_that_failed_is_told_from_one_that_panicked() {
        for reason in [Reason::HandlerFailed, Reason::HandlerPanicked] {
            let record = Record::HandlerFailure { handler: "pay".into(), reason, message: "no".into() };
            let expected = json!({
                "level": "ERROR", "selvedge": "handler-failure",
                "handler": "pay", "reason": reason.code(), "message": "no",
            });
            assert_eq!(line(&record), expected);
        }
    }

    #[test]
    fn records_are_lines_of_json() {
        let record = Record::Exposure {
            experiment: "hero".into(),
            variation: "bold\n".into(),
            reason: Reason::BackendResponded,
        };
        let mut bytes = Vec::new();
        write_line(&mut bytes, &line(&record));
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        assert_eq!(text.lines().count(), 1, "a line break in a name is escaped");
        let back: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!((&back["selvedge"], &back["variation"]), (&json!("exposure"), &json!("bold\n")));
    }
}
