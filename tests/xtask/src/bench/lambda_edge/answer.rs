//! What a function returned, as far as it has to be the same whoever wrote the function.

use std::collections::BTreeMap;

use serde_json::Value;

/// Headers by which the triggers of one function talk to each other: Selvedge's, and the variation that the peer chose.
const INTERNAL: [&str; 3] = ["selvedge-key", "selvedge-state", "x-hero"];

/// A result without how it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status and the body of a response, or the method and the target of a request.
    parts: Vec<Value>,
    /// The values by the name in lower case.
    headers: BTreeMap<String, Vec<Value>>,
}

impl Answer {
    pub(super) fn of(result: &Value) -> Self {
        let names: &[&str] =
            if result["status"].is_null() { &["method", "uri", "querystring"] } else { &["status"] };
        let mut parts: Vec<_> = names.iter().map(|name| result[*name].clone()).collect();
        // A response without a body has an empty one.
        parts.push(result["body"].as_str().unwrap_or_default().into());
        let headers = result["headers"].as_object().into_iter().flatten();
        let headers = headers.filter(|(name, _)| !INTERNAL.contains(&name.as_str()));
        Self { parts, headers: headers.map(|(name, fields)| (name.clone(), values(fields))).collect() }
    }
}

fn values(fields: &Value) -> Vec<Value> {
    fields.as_array().into_iter().flatten().map(|field| field["value"].clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_a_response_is_written_does_not_count() {
        let one = json!({
            "status": "302",
            "statusDescription": "Found",
            "headers": {
                "location": [{ "key": "Location", "value": "https://a.test/" }],
                "selvedge-state": [{ "value": "sealed" }],
            },
        });
        let other = json!({
            "status": "302",
            "body": "",
            "headers": { "location": [{ "key": "location", "value": "https://a.test/" }] },
        });
        assert_eq!(Answer::of(&one), Answer::of(&other));
        for (pointer, value) in [("/status", "301"), ("/headers/location/0/value", "/b"), ("/body", "Go")] {
            let mut changed = other.clone();
            *changed.pointer_mut(pointer).expect("it is there") = value.into();
            assert_ne!(Answer::of(&one), Answer::of(&changed), "{pointer} counts");
        }
    }

    #[test]
    fn a_request_is_its_method_target_and_headers() {
        let one = json!({ "method": "GET", "uri": "/", "querystring": "", "headers": {}, "clientIp": "203.0.113.1" });
        let mut other = one.clone();
        other["headers"]["x-hero"] = json!([{ "value": "bold" }]);
        assert_eq!(Answer::of(&one), Answer::of(&other));
        other["uri"] = "/a".into();
        assert_ne!(Answer::of(&one), Answer::of(&other));
    }
}
