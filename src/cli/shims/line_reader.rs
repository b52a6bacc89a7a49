//! Lines to records, as `kafka-console-producer` takes them apart (`org.apache.kafka.tools.LineMessageReader`). Pure.

use bytes::Bytes;

use super::tool_properties::ToolProperties;
use crate::client::NewRecord;

/// How lines are taken apart.
#[derive(Debug)]
pub(super) struct LineReader {
    parses_key: bool,
    parses_headers: bool,
    ignores_errors: bool,
    key_separator: String,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    null_marker: Option<String>,
    lines: u64,
}

impl LineReader {
    /// A reader with these properties; the error is in Kafka's words.
    pub(super) fn new(properties: &ToolProperties) -> Result<Self, String> {
        let text = |name: &str, default: &str| properties.text(name).unwrap_or(default).to_owned();
        let reader = Self {
            parses_key: properties.is_true("parse.key"),
            parses_headers: properties.is_true("parse.headers"),
            ignores_errors: properties.is_true("ignore.error"),
            key_separator: text("key.separator", "\t"),
            headers_delimiter: text("headers.delimiter", "\t"),
            headers_separator: text("headers.separator", ","),
            headers_key_separator: text("headers.key.separator", ":"),
            null_marker: properties.text("null.marker").map(str::to_owned),
            lines: 0,
        };
        let named = |name| match name {
            "headers.delimiter" => Some(reader.headers_delimiter.as_str()),
            "headers.separator" => Some(reader.headers_separator.as_str()),
            "headers.key.separator" => Some(reader.headers_key_separator.as_str()),
            "key.separator" => Some(reader.key_separator.as_str()),
            _ => reader.null_marker.as_deref(),
        };
        let different = [
            ("headers.delimiter", "headers.separator"),
            ("headers.delimiter", "headers.key.separator"),
            ("headers.separator", "headers.key.separator"),
            ("null.marker", "key.separator"),
            ("null.marker", "headers.separator"),
            ("null.marker", "headers.delimiter"),
            ("null.marker", "headers.key.separator"),
        ];
        match different.into_iter().find(|(one, other)| named(one) == named(other)) {
            Some((one, other)) => Err(format!("{one} and {other} may not be equal")),
            None => Ok(reader),
        }
    }

    /// The record of the next line.
    pub(super) fn record(&mut self, line: &[u8], now_ms: i64) -> Result<NewRecord, String> {
        self.lines += 1;
        let line = String::from_utf8_lossy(line);
        let mut rest = &*line;
        let headers =
            self.field(self.parses_headers, &line, &mut rest, &self.headers_delimiter, "headers delimiter")?;
        let key = self.field(self.parses_key, &line, &mut rest, &self.key_separator, "key separator")?;
        let headers = match headers.filter(|headers| !self.is_null(headers)) {
            Some(headers) => self.headers(headers)?,
            None => Vec::new(),
        };
        let bytes = |text: &str| (!self.is_null(text)).then(|| Bytes::copy_from_slice(text.as_bytes()));
        Ok(NewRecord { key: key.and_then(bytes), value: bytes(rest), headers, timestamp_ms: now_ms, partition: None })
    }

    /// Takes what is in front of `separator` from `rest`.
    fn field<'a>(
        &self,
        is_wanted: bool,
        line: &str,
        rest: &mut &'a str,
        separator: &str,
        name: &str,
    ) -> Result<Option<&'a str>, String> {
        match rest.split_once(separator) {
            _ if !is_wanted => Ok(None),
            Some((field, after)) => {
                *rest = after;
                Ok(Some(field))
            }
            None if self.ignores_errors => Ok(None),
            None => Err(format!("No {name} found on line number {}: '{line}'", self.lines)),
        }
    }

    fn headers(&self, text: &str) -> Result<Vec<(Bytes, Option<Bytes>)>, String> {
        let mut headers = Vec::new();
        for pair in text.split(&self.headers_separator) {
            let header = match pair.split_once(&self.headers_key_separator) {
                Some((key, _)) if self.is_null(key) => {
                    let marker = self.null_marker.as_deref().unwrap_or_default();
                    return Err(format!(
                        "Header keys should not be equal to the null marker '{marker}' as they can't be null"
                    ));
                }
                Some((key, value)) => (key, Some(value).filter(|value| !self.is_null(value))),
                None if self.ignores_errors => (pair, None),
                None => {
                    return Err(format!(
                        "No header key separator found in pair '{pair}' on line number {}",
                        self.lines
                    ));
                }
            };
            headers.push((Bytes::copy_from_slice(header.0.as_bytes()), header.1.map(|value| value.to_owned().into())));
        }
        Ok(headers)
    }

    fn is_null(&self, text: &str) -> bool {
        self.null_marker.as_deref() == Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(properties: &[&str], line: &str) -> Result<String, String> {
        let record = LineReader::new(&ToolProperties::from_pairs(properties))?.record(line.as_bytes(), 0)?;
        let text = |bytes: &Option<Bytes>| {
            bytes.as_ref().map_or("null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let headers: Vec<_> =
            record.headers.iter().map(|(key, value)| format!("{}:{}", text(&Some(key.clone())), text(value))).collect();
        Ok(format!("{} {} {}", headers.join(","), text(&record.key), text(&record.value)))
    }

    #[test]
    fn a_line_has_headers_key_and_value_as_wanted() {
        assert_eq!(read(&[], "a\tb"), Ok(" null a\tb".to_owned()));
        assert_eq!(read(&["parse.key=true"], "a\tb\tc"), Ok(" a b\tc".to_owned()));
        assert_eq!(read(&["parse.key= TRUE ", "key.separator=="], "a=b"), Ok(" a b".to_owned()));
        let both = ["parse.key=true", "parse.headers=true"];
        assert_eq!(read(&both, "h1:v1,h2:v:2\tk\tv"), Ok("h1:v1,h2:v:2 k v".to_owned()));
        let nulls = ["parse.key=true", "parse.headers=true", "null.marker=NULL"];
        assert_eq!(read(&nulls, "h:NULL\tNULL\tNULL"), Ok("h:null null null".to_owned()));
        assert_eq!(read(&nulls, "NULL\tk\tv"), Ok(" k v".to_owned()));
    }

    #[test]
    fn what_is_missing_is_told_or_passed_over() {
        let keyed = ["parse.key=true"];
        assert_eq!(read(&keyed, "ab"), Err("No key separator found on line number 1: 'ab'".to_owned()));
        assert_eq!(read(&["parse.key=true", "ignore.error=true"], "ab"), Ok(" null ab".to_owned()));
        let headers = ["parse.headers=true"];
        let told = "No header key separator found in pair 'b' on line number 1";
        assert_eq!(read(&headers, "a:1,b\tv"), Err(told.to_owned()));
        assert_eq!(read(&["parse.headers=true", "ignore.error=true"], "b\tv"), Ok("b:null null v".to_owned()));
        let same = read(&["headers.separator=:"], "").expect_err("both are colons");
        assert_eq!(same, "headers.separator and headers.key.separator may not be equal");
    }
}
