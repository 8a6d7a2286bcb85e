//! Blanks comments and literals of Rust source.

/// Replaces the bytes of comments, strings and characters with spaces, but keeps line breaks.
///
/// The result is as long as the text, so positions and lines stay what they were.
pub(super) fn mask(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = opaque_end(bytes, at);
        code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end.max(at + 1);
    }
    code
}

/// Returns where the comment or literal that starts at `at` ends; `at` itself when none does.
fn opaque_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let length = match rest {
        [b'/', b'/', ..] => line_comment(rest),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => string(rest),
        [b'r', b'"' | b'#', ..] if !continues_word(bytes, at) => raw_string(rest),
        [b'\'', ..] => character(rest),
        _ => 0,
    };
    (at + length).min(bytes.len())
}

/// Returns whether the letter at `at` belongs to a word other than the prefixes `br` and `cr`.
fn continues_word(bytes: &[u8], at: usize) -> bool {
    let is_word = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at)).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    let before = at.checked_sub(1);
    let is_prefix = before.is_some_and(|before| matches!(bytes[before], b'b' | b'c'));
    if is_prefix { is_word(at.checked_sub(2)) } else { is_word(before) }
}

fn line_comment(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Measures `r"..."` or `r#"..."#`; zero for a raw identifier such as `r#type`.
fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let open = hashes + 2;
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let end = rest[open..].windows(close.len()).position(|window| window == close);
    end.map_or(rest.len(), |end| open + end + close.len())
}

/// Measures a character such as `'{'` or `'\''`; zero for a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        let end = rest.iter().skip(3).position(|byte| *byte == b'\'');
        return end.map_or(0, |end| end + 4);
    }
    let end = rest.iter().skip(2).take(4).position(|byte| *byte == b'\'');
    let is_one_character =
        |end: usize| std::str::from_utf8(&rest[1..end + 2]).is_ok_and(|inside| inside.chars().count() == 1);
    end.filter(|end| is_one_character(*end)).map_or(0, |end| end + 3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::mask;

    #[test]
    fn braces_in_comments_and_literals_disappear_and_all_others_stay() {
        let cases = [
            ("a { // }\n}", "a {     \n}"),
            ("/* { /* { */ } */ }", "                  }"),
            (r#"x("\"{") }"#, "x(     ) }"),
            (r##"r#"{"#}"##, "      }"),
            (r##"br#"{"#}"##, "b      }"),
            ("r#type {}", "r#type {}"),
            ("fr\"{\"}", "fr   }"),
            ("'{' }", "    }"),
            ("'é'{", "    {"),
            (r"'\'' }", "     }"),
            (r"'\u{7d}' }", "         }"),
            ("<'a>{ 'b: loop {} }", "<'a>{ 'b: loop {} }"),
            ("\"{\n{\" }", "  \n   }"),
            ("\"unfinished {", "             "),
        ];
        for (text, expected) in cases {
            assert_eq!(String::from_utf8_lossy(&mask(text)), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_length_and_its_lines(text in r#"([a-z"'#/*\\{}\n é]|r#){0,60}"#) {
            let code = mask(&text);
            prop_assert_eq!(code.len(), text.len());
            let breaks = |bytes: &[u8]| bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at).collect::<Vec<_>>();
            prop_assert_eq!(breaks(&code), breaks(text.as_bytes()));
        }
    }
}
