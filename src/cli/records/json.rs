//! Records as JSON, a line each; what is written can be read again. Pure.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::encoding::{from_base64, to_base64};
use crate::client::{FetchedPartition, FetchedRecord, NewRecord};

/// One record as one JSON object. Bytes that are not UTF-8 are in base64, under a name that ends with `_base64`.
pub(in crate::cli) fn to_json(partition: &FetchedPartition, fetched: &FetchedRecord) -> Value {
    let record = &fetched.record;
    let mut object = Map::new();
    object.insert("topic".to_owned(), (*partition.partition.topic).into());
    object.insert("partition".to_owned(), partition.partition.partition.into());
    object.insert("offset".to_owned(), record.offset.into());
    object.insert("timestamp".to_owned(), record.timestamp.into());
    insert(&mut object, "key", record.key.as_deref());
    insert(&mut object, "value", record.value.as_deref());
    let headers = record.headers.iter().map(|(key, value)| {
        let mut header = Map::new();
        insert(&mut header, "key", Some(key));
        insert(&mut header, "value", value.as_deref());
        Value::Object(header)
    });
    object.insert("headers".to_owned(), headers.collect());
    Value::Object(object)
}

fn insert(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => object.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => object.insert(name.to_owned(), text.into()),
        Some(Err(bytes)) => object.insert(format!("{name}_base64"), to_base64(bytes, true).into()),
    };
}

/// A record from an object as [`to_json`] writes it; topic and offset in it are passed over. A value that is no text is
/// sent as JSON, `null` is a tombstone, and without a timestamp it is `now_ms`.
pub(in crate::cli) fn from_json(text: &[u8], now_ms: i64) -> Result<NewRecord, String> {
    let value: Value = serde_json::from_slice(text).map_err(|error| format!("this is not JSON: {error}"))?;
    let object = value.as_object().ok_or("a record is an object, such as {\"key\": \"a\", \"value\": \"b\"}")?;
    let known = ["topic", "partition", "offset", "timestamp", "key", "key_base64", "value", "value_base64", "headers"];
    if let Some(unknown) = object.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("a record has no \"{unknown}\"; it has {}", known.join(", ")));
    }
    let number = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| format!("\"{name}\" is not a whole number")),
    };
    let partition = match number("partition")? {
        Some(number) => Some(i32::try_from(number).map_err(|_| "\"partition\" is too large".to_owned())?),
        None => None,
    };
    Ok(NewRecord {
        partition,
        key: bytes(object, "key")?,
        value: bytes(object, "value")?,
        headers: headers(object.get("headers"))?,
        timestamp_ms: number("timestamp")?.unwrap_or(now_ms),
    })
}

fn bytes(object: &Map<String, Value>, name: &str) -> Result<Option<Bytes>, String> {
    let encoded_name = format!("{name}_base64");
    if let Some(encoded) = object.get(&encoded_name) {
        let decoded = encoded.as_str().and_then(|text| from_base64(text.as_bytes()));
        return Ok(Some(decoded.ok_or_else(|| format!("\"{encoded_name}\" is not base64"))?.into()));
    }
    Ok(match object.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone().into()),
        Some(other) => Some(other.to_string().into()),
    })
}

/// Headers as a list of objects, or as one object from names to values.
fn headers(value: Option<&Value>) -> Result<Vec<(Bytes, Option<Bytes>)>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(object)) => {
            object.keys().map(|name| Ok((name.clone().into(), bytes(object, name)?))).collect()
        }
        Some(Value::Array(list)) => list
            .iter()
            .map(|header| {
                let header = header.as_object().ok_or("a header is an object with \"key\" and \"value\"")?;
                let key = bytes(header, "key")?.ok_or("a header has a \"key\"")?;
                Ok((key, bytes(header, "value")?))
            })
            .collect(),
        Some(_) => Err("\"headers\" is a list of objects with \"key\" and \"value\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::records::tests_of_records::fetched;

    #[test]
    fn what_is_written_is_read_again() {
        let (partition, mut sample) = fetched();
        sample.record.value = Some(Bytes::from_static(&[0xff, 0]));
        let text = to_json(&partition, &sample).to_string();
        assert_eq!(
            text,
            r#"{"topic":"payments","partition":2,"offset":5,"timestamp":1700000000000,"key":"user-10","value_base64":"/wA=","headers":[{"key":"trace","value":"ab"},{"key":"trace","value":null}]}"#
        );
        let record = from_json(text.as_bytes(), 1).unwrap();
        assert_eq!((record.partition, record.timestamp_ms), (Some(2), 1_700_000_000_000));
        assert_eq!((record.key, record.value), (sample.record.key, sample.record.value));
        assert_eq!(record.headers, sample.record.headers);
    }

    #[test]
    fn a_short_form_will_do() {
        let record = from_json(br#"{"value": {"amount": 42}, "headers": {"a": "1"}}"#, 9).unwrap();
        assert_eq!(record.value.as_deref(), Some(&br#"{"amount":42}"#[..]));
        assert_eq!((record.key, record.partition, record.timestamp_ms), (None, None, 9));
        assert_eq!(record.headers, [("a".into(), Some("1".into()))]);
        assert_eq!(from_json(b"{}", 0).unwrap().value, None);
    }

    #[test]
    fn what_is_no_record_is_told() {
        for (text, told) in [
            ("hello", "this is not JSON"),
            ("[]", "a record is an object"),
            (r#"{"keys": 1}"#, "a record has no \"keys\""),
            (r#"{"partition": 1.5}"#, "\"partition\" is not a whole number"),
            (r#"{"value_base64": "?"}"#, "\"value_base64\" is not base64"),
            (r#"{"headers": [{"value": "a"}]}"#, "a header has a \"key\""),
        ] {
            let error = from_json(text.as_bytes(), 0).expect_err(text);
            assert!(error.starts_with(told), "{error}");
        }
    }
}
