//! `Cache-Status` as the access log has it.

/// Removes what caches say about their keys, which hold queries.
pub(crate) fn without_keys(status: &str) -> String {
    let mut kept = String::with_capacity(status.len());
    for parameter in parameters(status) {
        let is_key = parameter.strip_prefix(';').is_some_and(|rest| rest.trim_start().starts_with("key="));
        if !is_key {
            kept.push_str(parameter);
        }
    }
    kept
}

/// Splits before each `;` and `,` that is in no string.
fn parameters(status: &str) -> impl Iterator<Item = &str> {
    let (mut is_string, mut is_escaped) = (false, false);
    let mut rest = status;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = |(at, c): (usize, char)| {
            let is_end = !is_string && at > 0 && (c == ';' || c == ',');
            is_string ^= c == '"' && !is_escaped;
            is_escaped = is_string && c == '\\' && !is_escaped;
            is_end.then_some(at)
        };
        let (parameter, others) = rest.split_at(rest.char_indices().find_map(ends).unwrap_or(rest.len()));
        rest = others;
        Some(parameter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_removed_and_nothing_else() {
        let rows = [
            ("Selvedge;hit;ttl=30", "Selvedge;hit;ttl=30"),
            ("Selvedge;hit;key=\"a?token=s3cret\";ttl=30", "Selvedge;hit;ttl=30"),
            ("Selvedge;hit; key=\"a;b,\\\"c\\\\\"", "Selvedge;hit"),
            ("A;key=token, Selvedge;hit;key=\"s3cret", "A, Selvedge;hit"),
            ("A;detail=\";key=\", B;keys=1", "A;detail=\";key=\", B;keys=1"),
            ("", ""),
        ];
        for (status, expected) in rows {
            assert_eq!(without_keys(status), expected, "{status}");
        }
    }
}
