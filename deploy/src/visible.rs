//! Texts of clients on a terminal.

use std::borrow::Cow;

/// Returns a text with a sign in the place of what a terminal would obey: control characters, and the marks that
/// [override and isolate the direction of text](https://www.unicode.org/reports/tr9/#Explicit_Directional_Embeddings).
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if text.contains(is_obeyed) { text.replace(is_obeyed, "\u{fffd}").into() } else { text.into() }
}

fn is_obeyed(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_not_shown_to_it() {
        let rows = [
            ("/static/site.css", "/static/site.css"),
            ("/é\u{200f}漢", "/é\u{200f}漢"),
            ("\u{1b}[2J\u{7f}\u{9b}31m", "\u{fffd}[2J\u{fffd}\u{fffd}31m"),
            ("/gpj.\u{202e}exe\u{2066}\u{2069}", "/gpj.\u{fffd}exe\u{fffd}\u{fffd}"),
        ];
        for (text, expected) in rows {
            assert_eq!(visible(text), expected, "{text:?}");
        }
    }
}
