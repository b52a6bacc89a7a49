//! The two formats of a configuration file, both reduced to Kafka's property names: YAML, and Java properties, in which
//! `server.properties` is written.

use super::file_entry::{Fault, FileEntry};
use super::interpolation::Environment;
use super::other_format::{is_properties, other_format};
use super::sections;

/// Reads the file called `name`: Java properties if it ends in `.properties`, else YAML. Beside what it sets, everything
/// that is wrong with it.
pub(super) fn read(name: &str, text: &str, environment: &Environment) -> (Vec<FileEntry>, Vec<Fault>) {
    let faults = other_format(name, text);
    match is_properties(name) {
        _ if !faults.is_empty() => (Vec::new(), faults),
        true => (properties(text), faults),
        false => sections::read(text, environment),
    }
}

/// The pairs of a text of Java properties, in their order.
pub fn java_properties(text: &str) -> Vec<(String, String)> {
    properties(text).into_iter().map(|entry| (entry.key, entry.value)).collect()
}

/// Reads Java properties: `key=value`, `key: value` or `key value`, comments, and lines continued by a backslash.
pub(super) fn properties(text: &str) -> Vec<FileEntry> {
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while logical.ends_with('\\') {
            logical.pop();
            let Some((_, continuation)) = lines.next() else { break };
            logical.push_str(continuation.trim_start());
        }
        let end = logical.find(['=', ':', ' ', '\t']).unwrap_or(logical.len());
        let (key, rest) = logical.split_at(end);
        let rest = rest.trim_start();
        let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim();
        entries.push(FileEntry {
            key: key.to_owned(),
            value: value.to_owned(),
            line: index + 1,
            variables: Vec::new(),
        });
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(entries: Vec<FileEntry>) -> Vec<(String, String)> {
        entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn java_properties_are_read_as_java_reads_them() {
        let text =
            "# comment\n! comment\n\nnode.id=3\n  log.dirs : /a/b\nlisteners=A://:1,\\\n   B://:2\nbroker.rack\n";
        let entries = properties(text);
        assert_eq!(entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [4, 5, 6, 8]);
        let expected = vec![
            pair("node.id", "3"),
            pair("log.dirs", "/a/b"),
            pair("listeners", "A://:1,B://:2"),
            pair("broker.rack", ""),
        ];
        assert_eq!(pairs(entries), expected);
    }
}
