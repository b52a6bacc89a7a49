//! How `kafka-console-consumer` prints records (`org.apache.kafka.tools.consumer.DefaultMessageFormatter` and others).
//! Pure.

use super::coordinator_formatter::CoordinatorRecords;
use super::tool_properties::ToolProperties;
use crate::client::{FetchedPartition, FetchedRecord};
use crate::ids::Uuid;
use crate::protocol::record_batch::TimestampType;

/// Where Kafka's formatters are, and where they were before Kafka 4.0.
const PACKAGES: [&str; 3] =
    ["org.apache.kafka.tools.consumer.", "kafka.tools.", "kafka.coordinator.group.GroupMetadataManager$"];
const DESERIALIZERS: &str = "org.apache.kafka.common.serialization.";

/// What prints a record.
#[derive(Debug)]
pub(super) enum MessageFormatter {
    /// Fields in a line.
    Default(MessageFields),
    /// Nothing.
    NoOp,
    /// What a group coordinator has written, as JSON.
    Coordinator(CoordinatorRecords),
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
    /// Text, with what is not printable ASCII in hexadecimal.
    Bytes,
    /// Whatever the bytes are.
    ///
    /// Unlike Kafka, whose tool prints the address of the array.
    Raw,
}

impl MessageFormatter {
    /// The formatter that Kafka calls `class`, with its properties; `None` for a class that is not known here.
    pub(super) fn new(class: &str, properties: &ToolProperties) -> Option<Self> {
        let name = PACKAGES.iter().find_map(|package| class.strip_prefix(package))?;
        match name {
            // What the second logs besides is of a level that the settings of Kafka's tools hide.
            "DefaultMessageFormatter" | "LoggingMessageFormatter" => {
                Some(Self::Default(MessageFields::new(properties)))
            }
            "NoOpMessageFormatter" => Some(Self::NoOp),
            "OffsetsMessageFormatter" => Some(Self::Coordinator(CoordinatorRecords::Offsets)),
            "GroupMetadataMessageFormatter" => Some(Self::Coordinator(CoordinatorRecords::Groups)),
            _ => None,
        }
    }

    /// Adds a record to what is printed; the error, an exception of Java's, says which bytes are not what they should be,
    /// and leaves what was printed before them.
    pub(super) fn write(
        &self,
        partition: &FetchedPartition,
        fetched: &FetchedRecord,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match self {
            Self::Default(fields) => fields.write(partition, fetched, out),
            Self::NoOp => Ok(()),
            Self::Coordinator(records) => records.write(&fetched.record, out),
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
        for (at, field) in self.printed.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(self.key_separator.as_bytes());
            }
            let shown: Vec<u8> = match field {
                Field::Timestamp => stamp(fetched).into(),
                Field::Partition => format!("Partition:{}", partition.partition.partition).into(),
                Field::Offset => format!("Offset:{}", record.offset).into(),
                // Kafka's tool drops both on the way to the formatter.
                Field::Delivery => "Delivery:NOT_PRESENT".into(),
                Field::Epoch => "Epoch:NOT_PRESENT".into(),
                Field::Headers => self.headers(fetched)?,
                Field::Key => self.text(record.key.as_deref(), self.key_deserializer)?,
                Field::Value => self.text(record.value.as_deref(), self.value_deserializer)?,
            };
            out.extend(shown);
        }
        // With no field at all Kafka does not even end the line.
        if !self.printed.is_empty() {
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
            None | Some(Deserializer::Raw) => Ok(bytes.to_vec()),
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
            Some("BytesDeserializer") => Some(Self::Bytes),
            Some("ByteArrayDeserializer" | "ByteBufferDeserializer") => Some(Self::Raw),
            _ => None,
        };
        if known.is_none() {
            eprintln!("ERROR Unable to instantiate a deserializer from {class}");
            eprintln!("java.lang.ClassNotFoundException: {class}");
        }
        known
    }

    fn text(self, bytes: &[u8]) -> Result<String, String> {
        let exception = "org.apache.kafka.common.errors.SerializationException";
        let wrong =
            |type_name: &str, size: usize| format!("{exception}: Size of data received by {type_name} is not {size}");
        match self {
            Self::Text | Self::Raw => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Self::Bytes => Ok(bytes.iter().map(|byte| printable(*byte)).collect()),
            Self::Short => Ok(i16::from_be_bytes(all(bytes).ok_or_else(|| wrong("ShortDeserializer", 2))?).to_string()),
            Self::Integer => {
                Ok(i32::from_be_bytes(all(bytes).ok_or_else(|| wrong("IntegerDeserializer", 4))?).to_string())
            }
            Self::Long => Ok(i64::from_be_bytes(all(bytes).ok_or_else(|| wrong("LongDeserializer", 8))?).to_string()),
            Self::Float => Ok(decimal(&f32::from_be_bytes(all(bytes).ok_or_else(|| wrong("FloatDeserializer", 4))?))),
            Self::Double => Ok(decimal(&f64::from_be_bytes(all(bytes).ok_or_else(|| wrong("DoubleDeserializer", 8))?))),
            Self::Uuid => {
                let text = String::from_utf8_lossy(bytes);
                let uuid = Uuid::parse_str(&text).map(|uuid| uuid.to_string());
                uuid.map_err(|_| format!("{exception}: Error parsing data into UUID"))
            }
        }
    }
}

/// A byte as `org.apache.kafka.common.utils.Bytes` shows it.
fn printable(byte: u8) -> String {
    match byte {
        b' '..=b'~' if byte != b'\\' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02X}"),
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
        assert!(error.ends_with("Size of data received by LongDeserializer is not 8"), "{error}");
        assert_eq!(text(Deserializer::Bytes, b"a\\\x01~"), Ok("a\\x5C\\x01~".to_owned()));
        let known = Deserializer::of("org.apache.kafka.common.serialization.LongDeserializer");
        assert_eq!((known, Deserializer::of("com.example.Avro")), (Some(Deserializer::Long), None));
    }

    #[test]
    fn formatters_have_old_and_new_names() {
        let is_known = |class: &str| MessageFormatter::new(class, &ToolProperties::default()).is_some();
        assert!(is_known("kafka.tools.DefaultMessageFormatter"));
        assert!(is_known("org.apache.kafka.tools.consumer.LoggingMessageFormatter"));
        assert!(is_known("kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter"));
        assert!(!is_known("DefaultMessageFormatter"));
    }
}
