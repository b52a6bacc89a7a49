//! YAML as a tree in which everything knows its line; what the tree means is not known here.
//!
//! Scalars stay as they are written: a configuration's types are those of its keys, not those that YAML guesses.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::file_entry::Fault;

/// Deeper than any configuration is nested; it bounds the recursion.
const MOST_LEVELS: usize = 16;

/// A value and the line in which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct YamlNode {
    /// From 1.
    pub(super) line: usize,
    pub(super) content: YamlContent,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum YamlContent {
    /// Nothing was written, or `null`.
    Nothing,
    /// A text, a number, or a truth value, as it is written, without quotation marks.
    Scalar(String),
    List(Vec<YamlNode>),
    /// In the order written; no name is there twice.
    Map(Vec<YamlField>),
}

/// `name: value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct YamlField {
    pub(super) name: String,
    /// Of the name, from 1.
    pub(super) line: usize,
    pub(super) value: YamlNode,
}

impl YamlNode {
    /// The value called `name` of a map.
    pub(super) fn field(&self, name: &str) -> Option<&YamlNode> {
        match &self.content {
            YamlContent::Map(entries) => entries.iter().find(|entry| entry.name == name).map(|entry| &entry.value),
            _ => None,
        }
    }
}

/// Reads a text that holds at most one document.
pub(super) fn parse(text: &str) -> Result<YamlNode, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = YamlReader { text, parser: Parser::new_from_str(text) };
    let mut root = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd, _) => {}
            (_, span) if root.is_some() => {
                let hint = "one file is one document; leave the line --- out, or give two files to --config";
                return Err(Fault::new(span.start.line(), "a second document begins here").with_hint(hint));
            }
            (event, span) => root = Some(reader.node(event, span, 0)?),
        }
    }
    Ok(root.unwrap_or(YamlNode { line: 1, content: YamlContent::Nothing }))
}

struct YamlReader<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> YamlReader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.parser.next_event() {
            Some(event) => event.map_err(|error| self.unreadable(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The node that begins with `event`.
    fn node(&mut self, event: Event<'a>, span: Span, level: usize) -> Result<YamlNode, Fault> {
        let line = span.start.line();
        if level > MOST_LEVELS {
            return Err(Fault::new(line, format!("this is nested more than {MOST_LEVELS} levels deep")));
        }
        let content = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if matches!(&*text, "" | "~" | "null" | "Null" | "NULL") => {
                YamlContent::Nothing
            }
            Event::Scalar(text, ..) => YamlContent::Scalar(text.into_owned()),
            Event::SequenceStart(..) => YamlContent::List(self.list(level)?),
            Event::MappingStart(..) => YamlContent::Map(self.map(level)?),
            Event::Alias(_) => {
                return Err(Fault::new(line, "names of other places (*name) are not read here")
                    .with_hint("write the value out"));
            }
            _ => return Err(Fault::new(line, "a value is missing")),
        };
        Ok(YamlNode { line, content })
    }

    fn list(&mut self, level: usize) -> Result<Vec<YamlNode>, Fault> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(nodes),
                (event, span) => nodes.push(self.node(event, span, level + 1)?),
            }
        }
    }

    fn map(&mut self, level: usize) -> Result<Vec<YamlField>, Fault> {
        let mut entries: Vec<YamlField> = Vec::new();
        loop {
            let (name, line) = match self.next()? {
                (Event::MappingEnd | Event::StreamEnd, _) => return Ok(entries),
                (Event::Scalar(name, ..), span) => (name.into_owned(), span.start.line()),
                (_, span) => {
                    return Err(Fault::new(span.start.line(), "expected a name and a colon here")
                        .with_hint("a text that holds { or [ or * needs quotation marks"));
                }
            };
            if let Some(first) = entries.iter().find(|entry| entry.name == name) {
                return Err(twice(&name, first.line, line));
            }
            let (event, span) = self.next()?;
            entries.push(YamlField { name, line, value: self.node(event, span, level + 1)? });
        }
    }

    fn unreadable(&self, error: &ScanError) -> Fault {
        let line = error.marker().line();
        // What was never closed is noticed behind the last line.
        let line = line.clamp(1, self.text.lines().count().max(1));
        let written = self.text.lines().nth(line - 1).unwrap_or_default();
        let indentation = written.len() - written.trim_start().len();
        if written.get(..indentation).is_some_and(|indentation| indentation.contains('\t')) {
            return Fault::new(line, "the line begins with a tab").with_hint("YAML is indented by spaces alone");
        }
        let fault = Fault::new(line, format!("this is no YAML: \"{}\": {}", written.trim(), error.info()));
        fault.with_hint(if written.contains("${") {
            "inside of { } and [ ], ${...} needs quotation marks: { id: \"${NODE_ID}\" }"
        } else if error.info().contains("unexpected character") || error.info().contains("anchor") {
            "a text that begins with such a character needs quotation marks"
        } else {
            "\"name: value\" has a space after the colon; what belongs together is indented alike, by spaces"
        })
    }
}

/// A name is there for the second time; nobody could tell which value holds.
pub(super) fn twice(name: &str, first: usize, line: usize) -> Fault {
    let reason = format!("{name} is set twice, first in line {first}");
    Fault::new(line, reason).with_hint("leave one of them out")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &YamlNode) -> String {
        let line = node.line;
        match &node.content {
            YamlContent::Nothing => format!("{line}:-"),
            YamlContent::Scalar(text) => format!("{line}:{text}"),
            YamlContent::List(nodes) => format!("{line}:[{}]", nodes.iter().map(shown).collect::<Vec<_>>().join(" ")),
            YamlContent::Map(entries) => {
                let entries =
                    entries.iter().map(|entry| format!("{}@{} {}", entry.name, entry.line, shown(&entry.value)));
                format!("{line}:{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[test]
    fn everything_has_its_line_and_its_own_spelling() {
        let text = "\u{feff}# comment\na: 0x10\nb:\n  - 'x: 1'\n  - {c: ~, d: \"é\"}\ne: |\n  two\n  lines\n";
        assert_eq!(
            shown(&parse(text).unwrap()),
            "2:{a@2 2:0x10, b@3 4:[4:x: 1 5:{c@5 5:-, d@5 5:é}], e@6 7:two\nlines\n}"
        );
        assert_eq!(parse("").unwrap().content, YamlContent::Nothing);
        assert_eq!(shown(&parse("---\na: null\n...\n").unwrap()), "2:{a@2 2:-}");
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let fault = |text: &str| {
            let fault = parse(text).expect_err(text);
            (fault.line, fault.reason)
        };
        assert_eq!(fault("a: 1\nb: 2\na: 3"), (3, "a is set twice, first in line 1".to_owned()));
        assert_eq!(fault("a:\n\tb: 1"), (2, "the line begins with a tab".to_owned()));
        assert_eq!(fault("a: 1\n---\nb: 1"), (3, "a second document begins here".to_owned()));
        assert_eq!(fault("a: &x 1\nb: *x").0, 2);
        assert_eq!(fault("a: 1\n{b: 1}: 2").0, 2);
        assert_eq!(fault("a: [1,\nb: 2").0, 2);
        let hint = |text: &str| parse(text).expect_err(text).hint.unwrap_or_default();
        assert!(hint("a: {b: ${C}}").contains("${...} needs quotation marks"));
        assert!(hint("a: @b").contains("needs quotation marks") && hint("a: b: c").contains("a space after the colon"));
        assert_eq!(
            fault("a: \"b\n"),
            (
                1,
                "this is no YAML: \"a: \"b\": while scanning a quoted scalar, found unexpected end of stream"
                    .to_owned()
            )
        );
        assert_eq!(fault(&"[".repeat(MOST_LEVELS + 3)).0, 1);
    }
}
