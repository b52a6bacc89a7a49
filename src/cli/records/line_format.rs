//! The format language of records the other way around: `%k %v\n` says how to take input apart. Pure.

use bytes::Bytes;

use super::encoding::{from_base64, from_hex};
use super::format::{FormatItem, NumberField, RecordFormat, TextField};
use super::modifiers::{NumberStyle, TextStyle};
use crate::client::NewRecord;

/// How input is taken apart into records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct LineFormat {
    items: Vec<FormatItem>,
    delimiter: Vec<u8>,
}

impl LineFormat {
    /// Reads a format in which each field ends with the text behind it, and the record with the last text, which is the
    /// end of a line unless it is said.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        let mut items = RecordFormat::parse(text)?.items().to_vec();
        let delimiter = match items.pop() {
            Some(FormatItem::Literal(delimiter)) => delimiter,
            Some(field) => {
                items.push(field);
                b"\n".to_vec()
            }
            None => return Err("an empty format reads nothing; %v is a value on each line".to_owned()),
        };
        for (at, item) in items.iter().enumerate() {
            let is_literal = matches!(item, FormatItem::Literal(_));
            if !is_literal && !is_readable(item) {
                return Err("input has %k, %v and %s, %p and %d, with {hex} or {base64} behind text".to_owned());
            }
            if !is_literal && items.get(at + 1).is_some_and(|next| !matches!(next, FormatItem::Literal(_))) {
                return Err("there must be something between two fields, such as a space".to_owned());
            }
        }
        Ok(Self { items, delimiter })
    }

    /// What ends a record; not empty.
    pub(in crate::cli) fn delimiter(&self) -> &[u8] {
        &self.delimiter
    }

    /// Takes one record, without its delimiter, apart. Without a timestamp it is `now_ms`.
    pub(in crate::cli) fn read(&self, line: &[u8], now_ms: i64) -> Result<NewRecord, String> {
        let mut record = NewRecord { timestamp_ms: now_ms, ..NewRecord::default() };
        let mut rest = line;
        for (at, item) in self.items.iter().enumerate() {
            if let FormatItem::Literal(literal) = item {
                rest = rest.strip_prefix(&literal[..]).ok_or_else(|| missing(literal))?;
                continue;
            }
            let end = match self.items.get(at + 1) {
                Some(FormatItem::Literal(literal)) => {
                    rest.windows(literal.len()).position(|window| window == literal).ok_or_else(|| missing(literal))?
                }
                _ => rest.len(),
            };
            let (field, after) = rest.split_at(end);
            rest = after;
            fill(&mut record, item, field)?;
        }
        if rest.is_empty() { Ok(record) } else { Err("there is more on the line than the format has".to_owned()) }
    }
}

fn is_readable(item: &FormatItem) -> bool {
    match item {
        FormatItem::Text(TextField::Key | TextField::Value, _) => true,
        FormatItem::Number(NumberField::Partition | NumberField::Timestamp, style) => *style == NumberStyle::Decimal,
        _ => false,
    }
}

fn fill(record: &mut NewRecord, item: &FormatItem, field: &[u8]) -> Result<(), String> {
    let shown = || String::from_utf8_lossy(field).into_owned();
    match item {
        FormatItem::Text(name, style) => {
            let bytes = match style {
                TextStyle::Raw => Some(field.to_vec()),
                TextStyle::Hex => from_hex(field),
                TextStyle::Base64 | TextStyle::Base64Raw => from_base64(field),
            };
            let bytes =
                Some(Bytes::from(bytes.ok_or_else(|| format!("\"{}\" is not encoded as the format says", shown()))?));
            match name {
                TextField::Key => record.key = bytes,
                TextField::Value | TextField::Topic => record.value = bytes,
            }
        }
        FormatItem::Number(name, _) => {
            let number: i64 = shown().trim().parse().map_err(|_| format!("\"{}\" is not a number", shown()))?;
            if *name == NumberField::Timestamp {
                record.timestamp_ms = number;
            } else {
                record.partition = Some(i32::try_from(number).map_err(|_| format!("{number} is no partition"))?);
            }
        }
        FormatItem::Literal(_) | FormatItem::CompressionName | FormatItem::Headers(_) => {}
    }
    Ok(())
}

fn missing(literal: &[u8]) -> String {
    format!("the line has no \"{}\" where the format has it", literal.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Taken = (Option<Bytes>, Option<Bytes>, Option<i32>, i64);

    fn read(format: &str, line: &str) -> Result<Taken, String> {
        let record = LineFormat::parse(format)?.read(line.as_bytes(), 1)?;
        Ok((record.key, record.value, record.partition, record.timestamp_ms))
    }

    #[test]
    fn a_line_is_taken_apart_as_it_was_put_together() {
        assert_eq!(read("%v", "a b"), Ok((None, Some("a b".into()), None, 1)));
        assert_eq!(read("%k:%v\\n", "user-10:a:b"), Ok((Some("user-10".into()), Some("a:b".into()), None, 1)));
        assert_eq!(
            read("%p/%d [%k{hex}] %v{base64};", "2/99 [6b] djE="),
            Ok((Some("k".into()), Some("v1".into()), Some(2), 99))
        );
        assert_eq!(LineFormat::parse("%v").unwrap().delimiter(), b"\n");
        assert_eq!(LineFormat::parse("%k %v--").unwrap().delimiter(), b"--");
    }

    #[test]
    fn formats_and_lines_that_do_not_fit_are_told() {
        for wrong in ["", "%k%v", "%o %v", "%h{%k} %v", "%p{big8} %v"] {
            assert!(LineFormat::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(read("%k:%v", "user-10"), Err("the line has no \":\" where the format has it".to_owned()));
        assert_eq!(read("%p %v", "x a"), Err("\"x\" is not a number".to_owned()));
        assert_eq!(read("%v{hex}", "xx"), Err("\"xx\" is not encoded as the format says".to_owned()));
        assert!(read("%k{hex};%v", "6b;v").is_ok() && read("a%v\\n", "bv").is_err());
    }
}
