//! Metrics in a line of the log, in
//! [CloudWatch's embedded metric format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).

use std::time::Duration;

use serde::Serialize;

use crate::access::{Access, MEMBERS, append};

/// What the line counts; its members have these names.
const METRICS: [Definition; 4] = [
    Definition { name: "duration_ms", unit: "Milliseconds" },
    Definition { name: "bytes_out", unit: "Bytes" },
    Definition { name: "4xx", unit: "Count" },
    Definition { name: "5xx", unit: "Count" },
];

/// The metrics' meaning. Their one dimension has one value: others, such as the route, would be billed for each of theirs.
const DIRECTIVE: Directive = Directive { namespace: "Selvedge", dimensions: [["policy"]], metrics: METRICS };

/// Whether a line tells of its request, beside what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The whole record.
    Record,
    /// The metrics alone, so that those outside a sample count as well.
    Metrics,
}

/// The beginning of every line.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(rename = "_aws")]
    meaning: Meaning,
    policy: &'a str,
    #[serde(rename = "4xx")]
    client_errors: u8,
    #[serde(rename = "5xx")]
    server_errors: u8,
}

/// The metrics that a record has anyway.
#[derive(Serialize)]
struct Measured {
    duration_ms: f64,
    bytes_out: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Meaning {
    timestamp: u64,
    cloud_watch_metrics: [Directive; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: [[&'static str; 1]; 1],
    metrics: [Definition; 4],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: &'static str,
    unit: &'static str,
}

/// Writes a request's metrics as a line of JSON, with its record or without.
///
/// The metrics are how long it took, the bytes of its body, and whether its status is a 4xx or a 5xx. A request that went without a
/// status counts as neither; what the record does not know counts as zero.
///
/// # Panics
/// Never: every part of it is text or a number.
///
/// # Examples
/// ```
/// use selvedge_core::time::Timestamp;
/// use selvedge_log::access::Access;
/// use selvedge_log::embedded::{Told, line};
///
/// let access = Access { status: Some(503), ..Access::at(Timestamp::from_millis(1)) };
/// let line = String::from_utf8(line(access, "shop", Told::Metrics))?;
/// assert!(line.ends_with("\"policy\":\"shop\",\"4xx\":0,\"5xx\":1,\"duration_ms\":0.0,\"bytes_out\":0}\n"));
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
#[must_use]
pub fn line(mut access: Access<'_>, policy: &str, told: Told) -> Vec<u8> {
    let is_class = |class| u8::from(access.status.is_some_and(|status| status / 100 == class));
    let meaning = Meaning { timestamp: access.time.as_millis(), cloud_watch_metrics: [DIRECTIVE] };
    let head = Head { meaning, policy, client_errors: is_class(4), server_errors: is_class(5) };
    let mut line = serde_json::to_vec(&head).expect("texts and numbers are JSON");
    // The object goes on.
    line.pop();
    let duration = *access.duration.get_or_insert(Duration::ZERO);
    let bytes_out = *access.bytes_out.get_or_insert(0);
    match told {
        Told::Record => {
            line.push(b',');
            line.extend_from_slice(MEMBERS);
            append(&mut line, &access);
        }
        Told::Metrics => {
            append(&mut line, &Measured { duration_ms: duration.as_secs_f64() * 1000.0, bytes_out });
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use selvedge_core::time::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn read(access: Access<'_>, told: Told) -> Value {
        let line = line(access, "shop", told);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
        serde_json::from_slice(&line).expect("a line of JSON")
    }

    /// The specification's rules: the names lead to members of the line's own, numbers for metrics and texts for dimensions.
    fn assert_is_embedded(line: &Value) {
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().expect("a list");
        assert!(line["_aws"]["Timestamp"].is_u64() && directives.len() == 1, "{line}");
        for directive in directives {
            assert_eq!(directive["Namespace"], "Selvedge");
            for dimension in
                directive["Dimensions"].as_array().unwrap().iter().flat_map(|set| set.as_array().unwrap())
            {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension} of {line}");
            }
            let metrics = directive["Metrics"].as_array().unwrap();
            assert_eq!(metrics.len(), 4, "{line}");
            for metric in metrics {
                assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} of {line}");
                let unit = metric["Unit"].as_str().unwrap();
                assert!(["Milliseconds", "Bytes", "Count"].contains(&unit), "{unit}");
            }
        }
    }

    #[test]
    fn every_line_has_its_metrics_and_one_of_the_sample_its_record() {
        for (told, path) in [(Told::Record, json!("/a")), (Told::Metrics, Value::Null)] {
            let access = Access {
                path: "/a".into(),
                status: Some(404),
                bytes_out: Some(7),
                duration: Some(Duration::from_micros(1_500)),
                ..Access::at(Timestamp::from_millis(1_700_000_000_123))
            };
            let line = read(access, told);
            assert_is_embedded(&line);
            assert_eq!(line["_aws"]["Timestamp"], 1_700_000_000_123_u64);
            assert_eq!((&line["policy"], &line["path"]), (&json!("shop"), &path), "{told:?}");
            let metrics = ["duration_ms", "bytes_out", "4xx", "5xx"].map(|name| &line[name]);
            assert_eq!(metrics, [&json!(1.5), &json!(7), &json!(1), &json!(0)], "{told:?}");
        }
    }

    #[test]
    fn what_is_not_known_counts_as_nothing() {
        for (status, expected) in
            [(None, [0, 0]), (Some(200), [0, 0]), (Some(499), [1, 0]), (Some(500), [0, 1])]
        {
            for told in [Told::Record, Told::Metrics] {
                let line = read(Access { status, ..Access::at(Timestamp::from_millis(0)) }, told);
                assert_is_embedded(&line);
                assert_eq!(
                    ["4xx", "5xx"].map(|name| line[name].clone()),
                    expected.map(Value::from),
                    "{status:?}"
                );
            }
        }
    }
}
