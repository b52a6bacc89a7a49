//! Rust source as the tidy checks see it: without comments, without what strings say, without tests.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the house.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path from the package's root, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
    /// Its text with comments, and the contents of strings and characters, blanked; lines stay where they are.
    pub(crate) code: String,
    /// `code` with everything under `#[cfg(test)]` blanked, too; blank for a file of tests.
    pub(crate) shipped: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        let is_tests = path.ends_with("tests.rs") || path.contains("/tests/");
        let shipped = if is_tests { String::new() } else { without_tests(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), code, shipped }
    }

    /// The modules that lead to the file: `["config", "file"]` for `src/config/file.rs`; none for `src/lib.rs`.
    pub(crate) fn modules(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let mut modules: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
        if matches!(modules.last(), Some(&("mod" | "lib" | "main"))) {
            modules.pop();
        }
        modules
    }

    /// `path:line` of a byte in the text.
    pub(crate) fn place(&self, offset: usize) -> String {
        let line = self.code[..offset].bytes().filter(|byte| *byte == b'\n').count() + 1;
        format!("{}:{line}", self.path)
    }
}

/// Every `.rs` file below `folder` of the package, by path.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join(folder), &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let path = path.strip_prefix(root).unwrap_or(path).display().to_string();
        Source::new(&path, &text)
    };
    paths.iter().map(read).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Replaces every character of comments and inside quotes by a space, keeping line ends and byte offsets.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (from, to) = match rest {
            [b'/', b'/', ..] => (at, at + until(rest, b"\n")),
            [b'/', b'*', ..] => (at, at + block_comment(rest)),
            [b'"', ..] => (at + 1, (at + quoted(rest)).saturating_sub(1)),
            [b'r', b'"' | b'#', ..] if !follows_a_name(bytes, at) => raw_string(bytes, at),
            [b'\'', ..] => character(bytes, at),
            _ => (at, at),
        };
        for byte in &mut code[from.min(bytes.len())..to.min(bytes.len()).max(from.min(bytes.len()))] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        // A string's closing quote is passed over with the string.
        let closing = usize::from(to > at && matches!(rest, [b'"' | b'\'', ..]));
        at = (to + closing).max(at + 1);
    }
    String::from_utf8(code).unwrap_or_default()
}

/// How many bytes there are before `end`, or to the end of the text.
fn until(text: &[u8], end: &[u8]) -> usize {
    text.windows(end.len()).position(|window| window == end).unwrap_or(text.len())
}

/// The length of the possibly nested block comment that `text` begins with.
fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string that `text` begins with, quotes included.
fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn follows_a_name(bytes: &[u8], at: usize) -> bool {
    // `br"..."` is a raw string, too.
    let before = if at > 0 && bytes[at - 1] == b'b' { at - 1 } else { at };
    before > 0 && (bytes[before - 1].is_ascii_alphanumeric() || bytes[before - 1] == b'_')
}

/// The contents of the raw string that begins at `at`; nothing for a raw identifier.
fn raw_string(bytes: &[u8], at: usize) -> (usize, usize) {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let start = at + 1 + hashes;
    if bytes.get(start) != Some(&b'"') {
        return (at, at);
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let length = until(&bytes[start + 1..], &end);
    // The delimiters are blanked with the contents, so that the closing quote opens nothing.
    (start, (start + 1 + length + end.len()).min(bytes.len()))
}

/// The contents of the character literal that begins at `at`; nothing for a lifetime.
fn character(bytes: &[u8], at: usize) -> (usize, usize) {
    match &bytes[at + 1..] {
        [b'\\', _, rest @ ..] => (at + 1, at + 3 + until(rest, b"'")),
        [_, b'\'', ..] => (at + 1, at + 2),
        rest => {
            let is_wide = rest.first().is_some_and(|byte| !byte.is_ascii());
            if is_wide { (at + 1, at + 1 + until(rest, b"'")) } else { (at, at) }
        }
    }
}

/// Blanks every item that stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut shipped = code.to_owned();
    while let Some(start) = shipped.find("#[cfg(test)]") {
        let end = item_end(&shipped, start + "#[cfg(test)]".len());
        let blanked = blank_lines(&shipped[start..end]);
        shipped.replace_range(start..end, &blanked);
    }
    shipped
}

/// Blanks every `impl ... for ... {}`, in which the names are those of the trait.
pub(crate) fn without_trait_impls(code: &str) -> String {
    let mut own = code.to_owned();
    for (start, _) in code.match_indices("impl") {
        let head = &code[start..code[start..].find('{').map_or(code.len(), |brace| start + brace)];
        let is_item = code[..start].rsplit('\n').next().unwrap_or_default().trim().is_empty();
        if is_item && head.contains(" for ") {
            let end = item_end(code, start);
            own.replace_range(start..end, &blank_lines(&code[start..end]));
        }
    }
    own
}

/// As many bytes, with only the line ends left.
fn blank_lines(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// Where the item that begins at `from` ends: after its `;`, or after the block that closes.
pub(crate) fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && byte == b'}' {
                    return offset + 1;
                }
            }
            b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// Every path in the code, with the byte it begins at; the branches of a `{...}` group are paths of their own.
pub(crate) fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let length = name_length(&code[at..]);
        if length == 0 {
            at += code[at..].chars().next().map_or(1, char::len_utf8);
        } else {
            at = path_from(code, at, "", &mut found);
        }
    }
    found
}

/// Reads the path, or the tree of paths, that begins at `at`; returns where it ends.
fn path_from(code: &str, mut at: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let (start, mut path) = (at, prefix.to_owned());
    loop {
        let length = name_length(&code[at..]);
        path.push_str(&code[at..at + length]);
        at += length;
        if !code[at..].starts_with("::") {
            break;
        }
        at += 2;
        path.push_str("::");
        if code[at..].starts_with('{') {
            return group(code, at + 1, &path, found);
        }
        if name_length(&code[at..]) == 0 {
            break;
        }
    }
    found.push((start, path.trim_end_matches(':').to_owned()));
    at
}

/// Reads the branches of a group, from behind its brace; returns where it ends.
fn group(code: &str, mut at: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    while at < code.len() {
        match code.as_bytes()[at] {
            b'}' => return at + 1,
            _ if name_length(&code[at..]) > 0 => at = path_from(code, at, prefix, found),
            _ => at += code[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    at
}

fn name_length(text: &str) -> usize {
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_quotes_are_blanked_and_nothing_else_is() {
        let text =
            "let a = \"x // \\\" {\"; // b {\n/* c /* d */ { */ let e = 'f'; let g = '\\''; fn h<'i>(j: &'i str) {}\n";
        let code = blank(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.matches('{').count(), 1);
        assert!(code.contains("let e = ' '") && code.contains("fn h<'i>(j: &'i str) {}"), "{code}");
        let raw = blank("r#\"a \" { \"#; br\"{\"; for r in x {} r#type {}");
        assert_eq!(raw.matches('{').count(), 2, "{raw}");
        assert!(blank("'é' {").ends_with('{') && !blank("'{'").contains('{'));
    }

    #[test]
    fn tests_are_not_shipped() {
        let source = Source::new("src/a/b.rs", "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { c() } }\nfn d() {}\n");
        assert!(source.shipped.contains("fn a") && source.shipped.contains("fn d") && !source.shipped.contains("fn b"));
        assert!(Source::new("src/a/tests.rs", "fn b() {}").shipped.is_empty());
        assert_eq!(source.modules(), ["a", "b"]);
        assert_eq!(Source::new("src/a/mod.rs", "").modules(), ["a"]);
    }

    #[test]
    fn paths_are_found_through_groups() {
        let found: Vec<String> =
            paths("use a::{b::{self, c}, d as e}; f::g(); h.i()").into_iter().map(|(_, path)| path).collect();
        for path in ["a::b::self", "a::b::c", "a::d", "f::g"] {
            assert!(found.contains(&path.to_owned()), "{path} is not in {found:?}");
        }
    }
}
