//! Who is behind a request that a broker passes on to the controller, and how an envelope says it.

use std::net::IpAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::EnvelopeRequest;

use crate::protocol::ErrorCode;
use crate::security::Principal;

/// The version of the form in which principals travel (`DefaultPrincipalData`).
const PRINCIPAL_VERSION: i16 = 0;

/// Who is behind a request that is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requester {
    pub(super) principal: Principal,
    pub(super) host: IpAddr,
}

/// An envelope around `frame`, a request with its header.
pub(super) fn envelope(frame: Bytes, requester: &Requester) -> EnvelopeRequest {
    let host = match requester.host {
        IpAddr::V4(address) => Bytes::copy_from_slice(&address.octets()),
        IpAddr::V6(address) => Bytes::copy_from_slice(&address.octets()),
    };
    EnvelopeRequest::default()
        .with_request_data(frame)
        .with_request_principal(Some(principal_bytes(&requester.principal)))
        .with_client_host_address(host)
}

/// Errors: those of Kafka's controller to who sends what is no address, or no principal.
pub(super) fn requester(request: &EnvelopeRequest) -> Result<Requester, ErrorCode> {
    let address = &request.client_host_address[..];
    let host = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(address), _) => IpAddr::from(address),
        (_, Ok(address)) => IpAddr::from(address),
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let principal = request.request_principal.clone().and_then(principal);
    Ok(Requester { principal: principal.ok_or(ErrorCode::PrincipalDeserializationFailure)?, host })
}

/// A principal as Kafka's default builder writes it: version, type, name, whether a token has authenticated it, and tagged fields.
fn principal_bytes(principal: &Principal) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(PRINCIPAL_VERSION);
    for text in [&principal.principal_type, &principal.name] {
        put_unsigned_varint(&mut bytes, text.len() + 1);
        bytes.put_slice(text.as_bytes());
    }
    bytes.put_slice(&[0, 0]);
    bytes.freeze()
}

fn put_unsigned_varint(bytes: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        bytes.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.put_u8(value as u8);
}

/// The principal in `bytes`; what stands behind it is of no concern.
fn principal(mut bytes: Bytes) -> Option<Principal> {
    if bytes.try_get_i16().ok()? != PRINCIPAL_VERSION {
        return None;
    }
    Some(Principal { principal_type: text(&mut bytes)?, name: text(&mut bytes)? })
}

fn text(bytes: &mut Bytes) -> Option<Box<str>> {
    let mut length = 0;
    for shift in (0..28).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let length = length.checked_sub(1).filter(|length| *length <= bytes.len())?;
            return std::str::from_utf8(&bytes.split_to(length)).ok().map(Into::into);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(host: &str, name: &str) -> (Requester, EnvelopeRequest) {
        let principal = Principal { principal_type: "User".into(), name: name.into() };
        let requester = Requester { principal, host: host.parse().unwrap() };
        let request = envelope(Bytes::from_static(b"request"), &requester);
        (requester, request)
    }

    #[test]
    fn who_asks_arrives_as_it_was_sent() {
        for host in ["10.0.0.7", "2001:db8::1"] {
            for name in ["ANONYMOUS", "", "ü", &"n".repeat(20_000)] {
                let (sent, request) = wrapped(host, name);
                assert_eq!(requester(&request), Ok(sent));
            }
        }
    }

    #[test]
    fn a_principal_is_written_as_kafka_writes_it() {
        assert_eq!(&principal_bytes(&Principal::anonymous())[..], b"\x00\x00\x05User\x0aANONYMOUS\x00\x00");
    }

    #[test]
    fn what_is_no_principal_or_no_address_is_refused_at_every_length() {
        let (_, whole) = wrapped("10.0.0.7", "alice");
        let bytes = whole.request_principal.clone().unwrap();
        for length in 0..bytes.len() - 2 {
            let cut = whole.clone().with_request_principal(Some(bytes.slice(..length)));
            assert_eq!(requester(&cut), Err(ErrorCode::PrincipalDeserializationFailure), "{length} bytes");
        }
        assert_eq!(
            requester(&whole.clone().with_request_principal(None)),
            Err(ErrorCode::PrincipalDeserializationFailure)
        );
        let elsewhere = whole.with_client_host_address(Bytes::from_static(b"12345"));
        assert_eq!(requester(&elsewhere), Err(ErrorCode::InvalidRequest));
    }
}
