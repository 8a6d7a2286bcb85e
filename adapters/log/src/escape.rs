//! What a line of the log may not have in it as it is: characters that a terminal obeys, or that change what is read.

/// Writes each such character of a JSON text as an escape. JSON itself escapes those below U+0020; here it is delete and the
/// [C1 control codes](https://www.unicode.org/charts/PDF/U0080.pdf), and the marks that
/// [override and isolate the direction of text](https://www.unicode.org/reports/tr9/#Explicit_Directional_Embeddings).
///
/// Outside of its strings JSON is ASCII without them, so that all of them are in strings.
pub(crate) fn escape(line: &mut Vec<u8>) {
    if !line.iter().any(|byte| *byte >= 0x7f) {
        return;
    }
    let mut escaped = Vec::with_capacity(line.len() + 16);
    let mut rest = line.as_slice();
    while let Some((byte, others)) = rest.split_first() {
        let (code, bytes) = match rest {
            [0x7f, ..] => (0x7f, 1),
            [0xc2, last @ 0x80..=0x9f, ..] => (u16::from(*last), 2),
            [0xe2, 0x80, last @ 0xaa..=0xae, ..] => (0x2000 + u16::from(*last - 0x80), 3),
            [0xe2, 0x81, last @ 0xa6..=0xa9, ..] => (0x2040 + u16::from(*last - 0x80), 3),
            _ => {
                escaped.push(*byte);
                rest = others;
                continue;
            }
        };
        escaped.extend_from_slice(b"\\u");
        let digits = [12, 8, 4, 0].map(|shift| b"0123456789abcdef"[usize::from(code >> shift & 0xf)]);
        escaped.extend_from_slice(&digits);
        rest = &rest[bytes..];
    }
    *line = escaped;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_read_back_as_it_was() {
        let hidden = ['\u{7f}'].into_iter().chain('\u{80}'..='\u{9f}').chain('\u{202a}'..='\u{202e}');
        for character in hidden.chain('\u{2066}'..='\u{2069}') {
            let text = format!("a{character}é\u{2029}\u{206a}");
            let mut line = serde_json::to_vec(&text).expect("a text is JSON");
            escape(&mut line);
            let line = String::from_utf8(line).expect("it is still UTF-8");
            let expected = format!("\"a\\u{:04x}é\u{2029}\u{206a}\"", u32::from(character));
            assert_eq!(line, expected);
            assert_eq!(serde_json::from_str::<String>(&line).ok(), Some(text));
        }
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in ["plain", "\u{a0}¿é", "\u{2027}\u{202f}\u{2065}\u{206a}", "漢字🙂"] {
            let line = serde_json::to_vec(text).expect("a text is JSON");
            let mut escaped = line.clone();
            escape(&mut escaped);
            assert_eq!(escaped, line, "{text:?}");
        }
    }
}
