//! Measures Rust source by counting braces outside comments and literals.

mod mask;

use mask::mask;

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Line of `fn`, from 1.
    pub(super) line: usize,
    /// From the line of `fn` to that of the closing brace, both included.
    pub(super) lines: usize,
}

/// Source without its test modules.
pub(super) struct WithoutTests {
    /// Number of the remaining lines.
    pub(super) lines: usize,
    /// The source with comments, literals and test modules blanked, as long as before.
    code: Vec<u8>,
}

/// Takes the modules marked `#[cfg(test)]` away.
pub(super) fn without_tests(text: &str) -> WithoutTests {
    const ATTRIBUTE: &[u8] = b"#[cfg(test)]";
    let mut code = mask(text);
    let mut lines = text.lines().count();
    let mut from = 0;
    while let Some(start) = find(&code, ATTRIBUTE, from) {
        from = start + ATTRIBUTE.len();
        if let Some(end) = module_body_end(&code, from) {
            lines -= line_breaks(&code[start..end]) + 1;
            code[start..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
            from = end;
        }
    }
    WithoutTests { lines, code }
}

/// Returns the functions that have a body and are not in a test module.
pub(super) fn functions(text: &str) -> Vec<Function> {
    let code = without_tests(text).code;
    let mut functions = Vec::new();
    let mut from = 0;
    while let Some(start) = find(&code, b"fn ", from) {
        from = start + 3;
        let is_word = start == 0 || !is_word_byte(code[start - 1]);
        let name = word(&code, from);
        if let Some(end) = body_end(&code, from).filter(|_| is_word && !name.is_empty()) {
            let line = line_breaks(&code[..start]) + 1;
            functions.push(Function { name, line, lines: line_breaks(&code[start..end]) + 1 });
        }
    }
    functions
}

/// Returns the end of the block of `mod name { .. }` when that is what stands at `from`.
fn module_body_end(code: &[u8], from: usize) -> Option<usize> {
    let at = skip_blanks(code, from);
    (word(code, at) == "mod").then(|| body_end(code, at)).flatten()
}

/// Returns the end of the first block after `from`, or `None` when a semicolon comes before it.
fn body_end(code: &[u8], from: usize) -> Option<usize> {
    let mut brackets = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b';' if brackets == 0 => return None,
            b'{' if brackets == 0 => return block_end(code, at),
            _ => {}
        }
    }
    None
}

fn block_end(code: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at + 1),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn find(code: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    code[from..].windows(needle.len()).position(|window| window == needle).map(|at| from + at)
}

fn skip_blanks(code: &[u8], from: usize) -> usize {
    code[from..].iter().position(|byte| !byte.is_ascii_whitespace()).map_or(code.len(), |at| from + at)
}

fn word(code: &[u8], from: usize) -> String {
    let bytes = code[from..].iter().take_while(|byte| is_word_byte(**byte));
    String::from_utf8_lossy(&bytes.copied().collect::<Vec<_>>()).into_owned()
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn line_breaks(code: &[u8]) -> usize {
    code.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(text: &str) -> Vec<(String, usize, usize)> {
        functions(text).into_iter().map(|f| (f.name, f.line, f.lines)).collect()
    }

    #[test]
    fn a_function_reaches_from_its_name_to_its_closing_brace() {
        let cases = [
            ("fn a() {}", vec![("a", 1, 1)]),
            ("pub async fn a(\n  x: [u8; 2],\n) -> u8\nwhere\n  u8: Copy,\n{\n  1\n}\n", vec![("a", 1, 8)]),
            ("trait T {\n  fn a();\n  fn b() {\n  }\n}", vec![("b", 3, 2)]),
            ("fn a() {\n  fn b() {\n  }\n}", vec![("a", 1, 4), ("b", 2, 2)]),
            ("fn a() {\n  let s = \"}\"; // }\n  let c = '}';\n}", vec![("a", 1, 4)]),
            ("struct S { f: fn (u8) -> u8 }\nfn a() {}", vec![("a", 2, 1)]),
            ("macro_rules! m { () => { fn $name() {\n } } }", vec![]),
            ("fn unfinished() {", vec![]),
        ];
        for (text, expected) in cases {
            let expected: Vec<_> = expected.into_iter().map(|(n, l, c)| (n.to_owned(), l, c)).collect();
            assert_eq!(lengths(text), expected, "{text}");
        }
    }

    #[test]
    fn test_modules_count_neither_as_lines_nor_as_functions() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        assert_eq!(without_tests(text).lines, 3);
        assert_eq!(lengths(text), [("a".to_owned(), 1, 1), ("c".to_owned(), 7, 1)]);
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_and_test_only_items_are_left_alone() {
        let text = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nfn b() {}\n";
        assert_eq!(without_tests(text).lines, 4);
        assert_eq!(lengths(text), [("b".to_owned(), 4, 1)]);
    }
}
