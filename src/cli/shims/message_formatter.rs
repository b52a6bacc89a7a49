//! How `kafka-console-consumer` prints records (`org.apache.kafka.tools.consumer.DefaultMessageFormatter` and others).
//! Pure.

use super::tool_properties::ToolProperties;
use crate::client::{FetchedPartition, FetchedRecord};
use crate::ids::Uuid;
use crate::protocol::record_batch::TimestampType;

const PACKAGES: [&str; 2] = ["org.apache.kafka.tools.consumer.", "kafka.tools."];
const DESERIALIZERS: &str = "org.apache.kafka.common.serialization.";

/// What prints a record.
#[derive(Debug)]
pub(super) enum MessageFormatter {
    /// Fields in a line.
    Default(MessageFields),
    /// The same, and once more on stderr.
    Logging(MessageFields),
    /// Nothing.
    NoOp,
}

/// Which fields are printed, and what is between them.
#[derive(Debug)]
pub(super) struct MessageFields {
    /// In their order.
    printed: Vec<Field>,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
    key_deserializer: Option<Deserializer>,
    value_deserializer: Option<Deserializer>,
    headers_deserializer: Option<Deserializer>,
}

/// A field of a record, as `print.NAME` has it printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Timestamp,
    Partition,
    Offset,
    Delivery,
    Epoch,
    Headers,
    Key,
    Value,
}

/// The order in which fields are printed, and their names.
const FIELDS: [(Field, &str); 8] = [
    (Field::Timestamp, "print.timestamp"),
    (Field::Partition, "print.partition"),
    (Field::Offset, "print.offset"),
    (Field::Delivery, "print.delivery"),
    (Field::Epoch, "print.epoch"),
    (Field::Headers, "print.headers"),
    (Field::Key, "print.key"),
    (Field::Value, "print.value"),
];

/// What makes text of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deserializer {
    Text,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Uuid,
}

impl MessageFormatter {
    /// The formatter that Kafka calls `class`, with its properties; `None` for a class that is not known here.
    pub(super) fn new(class: &str, properties: &ToolProperties) -> Option<Self> {
        let name = PACKAGES.iter().find_map(|package| class.strip_prefix(package))?;
        match name {
            "DefaultMessageFormatter" => Some(Self::Default(MessageFields::new(properties))),
            "LoggingMessageFormatter" => Some(Self::Logging(MessageFields::new(properties))),
            "NoOpMessageFormatter" => Some(Self::NoOp),
            _ => None,
        }
    }

    /// Adds a record to what is printed; the error says which bytes are not what they should be.
    pub(super) fn write(
        &self,
        partition: &FetchedPartition,
        fetched: &FetchedRecord,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match self {
            Self::Default(fields) => fields.write(partition, fetched, out),
            Self::Logging(fields) => {
                fields.write(partition, fetched, out)?;
                let text = |bytes: &Option<bytes::Bytes>| {
                    bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                };
                let key = text(&fetched.record.key).map_or("null ".to_owned(), |key| key + ", ");
                let value = text(&fetched.record.value).unwrap_or_else(|| "null".to_owned());
                eprintln!("INFO {}, key:{key}value:{value}", stamp(fetched));
                Ok(())
            }
            Self::NoOp => Ok(()),
        }
    }
}

fn stamp(fetched: &FetchedRecord) -> String {
    let kind = match fetched.batch.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    format!("{kind}:{}", fetched.record.timestamp)
}

impl MessageFields {
    fn new(properties: &ToolProperties) -> Self {
        let text = |name: &str, default: &str| properties.text(name).unwrap_or(default).to_owned();
        let deserializer = |name: &str| properties.text(name).and_then(Deserializer::of);
        // The value alone is printed unless it is forbidden.
        let is_printed =
            |field, name| properties.text(name).map_or(field == Field::Value, |_| properties.is_true(name));
        let printed =
            FIELDS.into_iter().filter(|(field, name)| is_printed(*field, name)).map(|(field, _)| field).collect();
        Self {
            printed,
            key_separator: text("key.separator", "\t"),
            line_separator: text("line.separator", "\n"),
            headers_separator: text("headers.separator", ","),
            null_literal: text("null.literal", "null"),
            key_deserializer: deserializer("key.deserializer"),
            value_deserializer: deserializer("value.deserializer"),
            headers_deserializer: deserializer("headers.deserializer"),
        }
    }

    fn write(&self, partition: &FetchedPartition, fetched: &FetchedRecord, out: &mut Vec<u8>) -> Result<(), String> {
        let record = &fetched.record;
        let mut fields: Vec<Vec<u8>> = Vec::new();
        for field in &self.printed {
            fields.push(match field {
                Field::Timestamp => stamp(fetched).into(),
                Field::Partition => format!("Partition:{}", partition.partition.partition).into(),
                Field::Offset => format!("Offset:{}", record.offset).into(),
                // Kafka's tool drops both on the way to the formatter.
                Field::Delivery => "Delivery:NOT_PRESENT".into(),
                Field::Epoch => "Epoch:NOT_PRESENT".into(),
                Field::Headers => self.headers(fetched)?,
                Field::Key => self.text(record.key.as_deref(), self.key_deserializer)?,
                Field::Value => self.text(record.value.as_deref(), self.value_deserializer)?,
            });
        }
        // With no field at all Kafka does not even end the line.
        if !fields.is_empty() {
            out.extend(fields.join(self.key_separator.as_bytes()));
            out.extend_from_slice(self.line_separator.as_bytes());
        }
        Ok(())
    }

    fn headers(&self, fetched: &FetchedRecord) -> Result<Vec<u8>, String> {
        let mut headers = Vec::new();
        for (key, value) in &fetched.record.headers {
            headers.push([&key[..], b":", &self.text(value.as_deref(), self.headers_deserializer)?].concat());
        }
        if headers.is_empty() { Ok("NO_HEADERS".into()) } else { Ok(headers.join(self.headers_separator.as_bytes())) }
    }

    fn text(&self, bytes: Option<&[u8]>, deserializer: Option<Deserializer>) -> Result<Vec<u8>, String> {
        let bytes = bytes.unwrap_or(self.null_literal.as_bytes());
        match deserializer {
            None => Ok(bytes.to_vec()),
            Some(deserializer) => deserializer.text(bytes).map(String::into_bytes),
        }
    }
}

impl Deserializer {
    /// The deserializer that Kafka calls `class`. Of another one it is told that there is none, and bytes stay as they are.
    fn of(class: &str) -> Option<Self> {
        let known = match class.strip_prefix(DESERIALIZERS) {
            Some("StringDeserializer") => Some(Self::Text),
            Some("ShortDeserializer") => Some(Self::Short),
            Some("IntegerDeserializer") => Some(Self::Integer),
            Some("LongDeserializer") => Some(Self::Long),
            Some("FloatDeserializer") => Some(Self::Float),
            Some("DoubleDeserializer") => Some(Self::Double),
            Some("UUIDDeserializer") => Some(Self::Uuid),
            _ => None,
        };
        if known.is_none() {
            eprintln!("ERROR Unable to instantiate a deserializer from {class}");
        }
        known
    }

    fn text(self, bytes: &[u8]) -> Result<String, String> {
        let wrong = |type_name: &str, size: usize| {
            let length = bytes.len();
            format!(
                "org.apache.kafka.common.errors.SerializationException: Size of data received by {type_name} is not {size}, but {length}"
            )
        };
        match self {
            Self::Text => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Self::Short => Ok(i16::from_be_bytes(all(bytes).ok_or_else(|| wrong("ShortDeserializer", 2))?).to_string()),
            Self::Integer => {
                Ok(i32::from_be_bytes(all(bytes).ok_or_else(|| wrong("IntegerDeserializer", 4))?).to_string())
            }
            Self::Long => Ok(i64::from_be_bytes(all(bytes).ok_or_else(|| wrong("LongDeserializer", 8))?).to_string()),
            Self::Float => Ok(decimal(&f32::from_be_bytes(all(bytes).ok_or_else(|| wrong("FloatDeserializer", 4))?))),
            Self::Double => Ok(decimal(&f64::from_be_bytes(all(bytes).ok_or_else(|| wrong("DoubleDeserializer", 8))?))),
            Self::Uuid => {
                let text = String::from_utf8_lossy(bytes);
                Uuid::parse_str(&text).map(|uuid| uuid.to_string()).map_err(|_| {
                    format!(
                        "org.apache.kafka.common.errors.SerializationException: Error parsing data into UUID: {text}"
                    )
                })
            }
        }
    }
}

fn all<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// A number as Java shows one: with a fraction, and with an exponent where it is large or small.
fn decimal(number: &(impl std::fmt::Debug + std::fmt::LowerExp + Copy + Into<f64>)) -> String {
    let value: f64 = (*number).into();
    let size = value.abs();
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-Infinity" } else { "Infinity" }.to_owned();
    }
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{number:?}");
    }
    let shown = format!("{number:e}");
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let fraction = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{fraction}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::records::tests_of_records::fetched;

    fn shown(properties: &[&str]) -> String {
        let (partition, record) = fetched();
        let fields = MessageFields::new(&ToolProperties::from_pairs(properties));
        let mut out = Vec::new();
        fields.write(&partition, &record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_are_printed_as_wanted() {
        assert_eq!(shown(&[]), "42\n");
        let all = [
            "print.timestamp=true",
            "print.partition=true",
            "print.offset=true",
            "print.epoch=true",
            "print.delivery=true",
            "print.headers=true",
            "print.key=true",
            "key.separator=|",
            "line.separator=;",
            "headers.separator=/",
            "null.literal=NIL",
        ];
        let told = "CreateTime:1700000000000|Partition:2|Offset:5|Delivery:NOT_PRESENT|Epoch:NOT_PRESENT|trace:ab/trace:NIL|user-10|42;";
        assert_eq!(shown(&all), told);
        assert_eq!(shown(&["print.value=false"]), "");
        assert_eq!(shown(&["print.value=false", "print.key=true"]), "user-10\n");
    }

    #[test]
    fn numbers_are_read_and_bytes_of_another_size_are_told() {
        let text = |deserializer: Deserializer, bytes: &[u8]| deserializer.text(bytes);
        assert_eq!(text(Deserializer::Long, &7_i64.to_be_bytes()), Ok("7".to_owned()));
        assert_eq!(text(Deserializer::Integer, &(-1_i32).to_be_bytes()), Ok("-1".to_owned()));
        for (number, told) in [(1.0, "1.0"), (1e7, "1.0E7"), (1.25e-4, "1.25E-4"), (-0.5, "-0.5"), (f64::NAN, "NaN")] {
            assert_eq!(text(Deserializer::Double, &f64::to_be_bytes(number)), Ok(told.to_owned()));
        }
        let error = text(Deserializer::Long, b"null").expect_err("four bytes");
        assert!(error.ends_with("Size of data received by LongDeserializer is not 8, but 4"), "{error}");
        let known = Deserializer::of("org.apache.kafka.common.serialization.LongDeserializer");
        assert_eq!((known, Deserializer::of("com.example.Avro")), (Some(Deserializer::Long), None));
    }

    #[test]
    fn formatters_have_old_and_new_names() {
        let is_known = |class: &str| MessageFormatter::new(class, &ToolProperties::default()).is_some();
        assert!(is_known("kafka.tools.DefaultMessageFormatter"));
        assert!(is_known("org.apache.kafka.tools.consumer.LoggingMessageFormatter"));
        assert!(!is_known("DefaultMessageFormatter"));
    }
}
