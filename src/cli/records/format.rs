//! The format language of records, which is rpk's: `%t/%p/%o %k %v\n`. Pure.

use super::modifiers::{NumberStyle, TextStyle};
use crate::client::{FetchedPartition, FetchedRecord};
use crate::protocol::compression::Compression;
use crate::protocol::record_batch::TimestampType;

/// What `--help` says of it.
pub(in crate::cli) const FORMAT_HELP: &str = "\
A format is text with these in it:
  %t topic          %T its length      %k key      %K its length
  %v or %s value    %V its length      %h{...} each header, with %k and %v in the braces
  %H number of headers                 %p partition   %o offset   %e leader epoch
  %d timestamp in milliseconds, or %d{strftime[%F %T]} in UTC
  %x producer id    %y producer epoch  %a{compression|timestamp-type|transactional-bit|control-bit}
  %[ log start offset   %| last stable offset   %] high watermark   %i number of the record
  %% %{ %} themselves, and \\n \\t \\r \\\\ \\xNN
Text may have {hex}, {base64} or {base64raw} behind it, as in %v{hex}; numbers {hex8} to {hex64}, {big8} to {big64},
{little8} to {little64}, {byte} or {bool}.";

/// A parsed format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct RecordFormat {
    items: Vec<FormatItem>,
}

/// A piece of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum FormatItem {
    /// Written as it is.
    Literal(Vec<u8>),
    Text(TextField, TextStyle),
    Number(NumberField, NumberStyle),
    /// The codec by its name.
    CompressionName,
    /// For each header.
    Headers(RecordFormat),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum TextField {
    Topic,
    Key,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum NumberField {
    TopicLength,
    KeyLength,
    ValueLength,
    HeaderCount,
    Partition,
    Offset,
    LeaderEpoch,
    Timestamp,
    ProducerId,
    ProducerEpoch,
    LogStartOffset,
    LastStableOffset,
    HighWatermark,
    Count,
    Compression,
    TimestampType,
    IsTransactional,
    IsControl,
}

/// What a format is filled with.
#[derive(Debug, Clone, Copy)]
struct Filling<'a> {
    partition: &'a FetchedPartition,
    fetched: &'a FetchedRecord,
    /// The record's, or a header's.
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    count: u64,
}

impl RecordFormat {
    /// Reads a format; the error says what is wrong where.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        let mut items = Vec::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            let literal = match letter {
                '\\' => escaped(&mut rest)?,
                '%' => match percent(&mut rest)? {
                    FormatItem::Literal(literal) => literal,
                    item => {
                        items.push(item);
                        continue;
                    }
                },
                other => other.encode_utf8(&mut [0; 4]).as_bytes().to_vec(),
            };
            match items.last_mut() {
                Some(FormatItem::Literal(before)) => before.extend(literal),
                _ => items.push(FormatItem::Literal(literal)),
            }
        }
        Ok(Self { items })
    }

    /// The pieces in their order; no two literals are neighbours.
    pub(in crate::cli) fn items(&self) -> &[FormatItem] {
        &self.items
    }

    /// Writes a record of `partition`, the `count`th that is written.
    pub(in crate::cli) fn write(
        &self,
        partition: &FetchedPartition,
        fetched: &FetchedRecord,
        count: u64,
        out: &mut Vec<u8>,
    ) {
        let (key, value) = (fetched.record.key.as_deref(), fetched.record.value.as_deref());
        self.fill(Filling { partition, fetched, key, value, count }, out);
    }

    fn fill(&self, filling: Filling<'_>, out: &mut Vec<u8>) {
        for item in &self.items {
            match item {
                FormatItem::Literal(literal) => out.extend_from_slice(literal),
                FormatItem::Text(field, style) => style.write(filling.text(*field), out),
                FormatItem::Number(field, style) => style.write(filling.number(*field), out),
                FormatItem::CompressionName => {
                    let name = filling.fetched.batch.compression().map_or("unknown", Compression::name);
                    out.extend_from_slice(name.as_bytes());
                }
                FormatItem::Headers(format) => {
                    for (key, value) in &filling.fetched.record.headers {
                        format.fill(Filling { key: Some(key), value: value.as_deref(), ..filling }, out);
                    }
                }
            }
        }
    }
}

impl<'a> Filling<'a> {
    fn text(&self, field: TextField) -> &'a [u8] {
        match field {
            TextField::Topic => self.partition.partition.topic.as_bytes(),
            TextField::Key => self.key.unwrap_or_default(),
            TextField::Value => self.value.unwrap_or_default(),
        }
    }

    fn number(&self, field: NumberField) -> i64 {
        let (batch, record) = (&self.fetched.batch, &self.fetched.record);
        match field {
            NumberField::TopicLength => self.partition.partition.topic.len() as i64,
            NumberField::KeyLength => self.key.map_or(0, <[u8]>::len) as i64,
            NumberField::ValueLength => self.value.map_or(0, <[u8]>::len) as i64,
            NumberField::HeaderCount => record.headers.len() as i64,
            NumberField::Partition => i64::from(self.partition.partition.partition),
            NumberField::Offset => record.offset,
            NumberField::LeaderEpoch => i64::from(batch.partition_leader_epoch),
            NumberField::Timestamp => record.timestamp,
            NumberField::ProducerId => batch.producer_id,
            NumberField::ProducerEpoch => i64::from(batch.producer_epoch),
            NumberField::LogStartOffset => self.partition.log_start_offset,
            NumberField::LastStableOffset => self.partition.last_stable_offset,
            NumberField::HighWatermark => self.partition.high_watermark,
            NumberField::Count => self.count as i64,
            NumberField::Compression => batch.compression().map_or(-1, |codec| i64::from(codec.id())),
            NumberField::TimestampType => i64::from(batch.timestamp_type() == TimestampType::LogAppendTime),
            NumberField::IsTransactional => i64::from(batch.is_transactional()),
            NumberField::IsControl => i64::from(batch.is_control()),
        }
    }
}

/// What a backslash begins.
fn escaped(rest: &mut &str) -> Result<Vec<u8>, String> {
    let letter = rest.chars().next().ok_or("a format cannot end with a single \\")?;
    *rest = &rest[letter.len_utf8()..];
    Ok(vec![match letter {
        'n' => b'\n',
        't' => b'\t',
        'r' => b'\r',
        '\\' => b'\\',
        'x' => {
            let (digits, after) = rest.split_at_checked(2).ok_or("\\x needs two hexadecimal digits")?;
            *rest = after;
            u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits}: these are no hexadecimal digits"))?
        }
        other => return Err(format!("\\{other} is no escape; there are \\n \\t \\r \\\\ and \\xNN")),
    }])
}

/// What a percent sign begins.
fn percent(rest: &mut &str) -> Result<FormatItem, String> {
    let letter = rest.chars().next().ok_or("a format cannot end with a single %; %% is a percent sign")?;
    *rest = &rest[letter.len_utf8()..];
    if matches!(letter, '%' | '{' | '}') {
        return Ok(FormatItem::Literal(letter.to_string().into()));
    }
    let modifier = braces(rest).map_err(|what| format!("%{letter}: {what}"))?;
    item(letter, modifier).map_err(|what| format!("%{letter}: {what}"))
}

fn item(letter: char, modifier: &str) -> Result<FormatItem, String> {
    let text = |field| Ok(FormatItem::Text(field, TextStyle::parse(modifier)?));
    let number = |field| Ok(FormatItem::Number(field, NumberStyle::parse(modifier)?));
    match letter {
        't' => text(TextField::Topic),
        'k' => text(TextField::Key),
        'v' | 's' => text(TextField::Value),
        'T' => number(NumberField::TopicLength),
        'K' => number(NumberField::KeyLength),
        'V' | 'S' => number(NumberField::ValueLength),
        'H' => number(NumberField::HeaderCount),
        'p' => number(NumberField::Partition),
        'o' => number(NumberField::Offset),
        'e' => number(NumberField::LeaderEpoch),
        'x' => number(NumberField::ProducerId),
        'y' => number(NumberField::ProducerEpoch),
        '[' => number(NumberField::LogStartOffset),
        '|' => number(NumberField::LastStableOffset),
        ']' => number(NumberField::HighWatermark),
        'i' => number(NumberField::Count),
        'd' => Ok(FormatItem::Number(NumberField::Timestamp, NumberStyle::parse_time(modifier)?)),
        'h' if modifier.is_empty() => Err("says nothing of the headers; %h{%k=%v } shows them".to_owned()),
        'h' => Ok(FormatItem::Headers(RecordFormat::parse(modifier)?)),
        'a' => attribute(modifier),
        _ => Err("stands for nothing; --help lists what does, and %% is a percent sign".to_owned()),
    }
}

fn attribute(modifier: &str) -> Result<FormatItem, String> {
    let (name, style) = modifier.split_once(';').unwrap_or((modifier, ""));
    let field = match name {
        "compression" if matches!(style, "" | "text") => return Ok(FormatItem::CompressionName),
        "compression" => NumberField::Compression,
        "timestamp-type" => NumberField::TimestampType,
        "transactional-bit" => NumberField::IsTransactional,
        "control-bit" => NumberField::IsControl,
        _ => return Err("needs {compression}, {timestamp-type}, {transactional-bit} or {control-bit}".to_owned()),
    };
    Ok(FormatItem::Number(field, NumberStyle::parse(if style == "number" { "" } else { style })?))
}

/// What is in the braces at the front of `rest`, if there are any; they may hold others.
fn braces<'a>(rest: &mut &'a str) -> Result<&'a str, String> {
    let Some(inner) = rest.strip_prefix('{') else { return Ok("") };
    let mut depth = 1;
    let mut letters = inner.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            // Of %{ and %} none opens or closes anything, unless it is a field's that has a modifier.
            '%' if inner[at + 1..].starts_with(['{', '}', '%']) => drop(letters.next()),
            '{' => depth += 1,
            '}' if depth == 1 => {
                *rest = &inner[at + 1..];
                return Ok(&inner[..at]);
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    Err("the brace behind it is never closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::records::tests_of_records::fetched;

    fn shown(format: &str) -> String {
        let (partition, record) = fetched();
        let mut out = Vec::new();
        RecordFormat::parse(format)
            .unwrap_or_else(|error| panic!("{format}: {error}"))
            .write(&partition, &record, 3, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn every_field_is_shown() {
        assert_eq!(shown("%t/%p/%o %k=%v\\n"), "payments/2/5 user-10=42\n");
        assert_eq!(shown("%T %K %V %H %i %s %S"), "8 7 2 2 3 42 2");
        assert_eq!(shown("%e %x %y %d"), "4 7 1 1700000000000");
        assert_eq!(shown("%d{strftime[%F %T]} %d{big16}").len(), 22);
        assert_eq!(shown("%[ %| %]"), "1 8 9");
        assert_eq!(
            shown("%a{compression} %a{compression;number} %a{timestamp-type} %a{transactional-bit;bool}"),
            "none 0 0 false"
        );
        assert_eq!(shown("%% %{ %} \\t\\x41\\\\ ü"), "% { } \tA\\ ü");
    }

    #[test]
    fn headers_have_a_format_of_their_own() {
        assert_eq!(shown("%h{ %k=%v{hex} }|"), " trace=6162  trace= |");
        assert_eq!(shown("%h{%{%k%}}%h{%K,}"), "{trace}{trace}5,5,");
    }

    #[test]
    fn values_are_encoded() {
        assert_eq!(shown("%v{hex} %v{base64} %v{base64raw} %K{hex8}"), "3432 NDI= NDI 07");
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let told = |format: &str| RecordFormat::parse(format).expect_err(format);
        assert_eq!(told("%q"), "%q: stands for nothing; --help lists what does, and %% is a percent sign");
        assert_eq!(told("%v{hex"), "%v: the brace behind it is never closed");
        assert_eq!(told("%v{hax}"), "%v: {hax} is no way to write text; there are hex, base64 and base64raw");
        for wrong in ["%", "\\", "\\q", "\\x4", "\\xzz", "%h", "%h{%q}", "%a", "%p{hex}", "%d{strftime}"] {
            told(wrong);
        }
    }
}
