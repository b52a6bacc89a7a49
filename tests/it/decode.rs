//! Bodies of every request type and version with hostile lengths and random bytes: each decodes or is refused, at once.
//!
//! This binary runs on the system's allocator, which aborts the process when a decoder asks it for too much.

use std::time::{Duration, Instant};

use bytes::Bytes;

#[path = "../fuzz/requests.rs"]
pub(crate) mod requests;

use requests::{REQUEST_TYPES, RequestType};

/// Lengths as 32-bit integers and as varints, from merely wrong to absurd.
const HOSTILE_LENGTHS: &[&[u8]] = &[
    b"\x7f\xff\xff\xff",
    b"\x10\x00\x00\x00",
    b"\x03\x37\xf9\x80",
    b"\x00\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff\xff\xff\xfe",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x08",
    b"\x80\x80\x80\x08",
    b"\xff\xff\x7f",
];

const FUZZING_TIME: Duration = Duration::from_secs(4);

fn all_versions() -> impl Iterator<Item = (&'static RequestType, i16)> {
    REQUEST_TYPES.iter().flat_map(|request| (request.versions.min..=request.versions.max).map(move |v| (request, v)))
}

fn decode_in_time(request: &RequestType, version: i16, body: Vec<u8>) -> bool {
    let body = Bytes::from(body);
    let started = Instant::now();
    let decoded = (request.decodes)(body.clone(), version);
    assert!(started.elapsed() < Duration::from_secs(1), "{} v{version} took too long on {body:?}", request.name);
    decoded
}

#[test]
fn default_requests_decode_in_every_version() {
    for (request, version) in all_versions() {
        if let Some(body) = (request.default_body)(version) {
            assert!((request.decodes)(body, version), "{} v{version}", request.name);
        }
    }
}

#[test]
fn hostile_lengths_at_every_place_are_refused_without_reserving_memory() {
    for (request, version) in all_versions() {
        for length in HOSTILE_LENGTHS {
            decode_in_time(request, version, length.to_vec());
            let Some(body) = (request.default_body)(version) else { continue };
            for place in 0..=body.len() {
                let (before, after) = body.split_at(place);
                decode_in_time(request, version, [before, length, after].concat());
                decode_in_time(request, version, [before, length].concat());
            }
        }
    }
}

#[test]
fn the_lengths_that_abort_a_naive_decoder_are_errors() {
    let refused: [(&str, i16, &[u8]); 6] = [
        ("MetadataRequest", 0, b"\x7f\xff\xff\xff\x00"),
        ("MetadataRequest", 1, b"\x03\x37\xf9\x80\x00"),
        ("MetadataRequest", 12, b"\xff\xff\xff\xff\x0f"),
        ("FetchRequest", 4, b"\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\x7f\xff\xff\xff"),
        ("ProduceRequest", 3, b"\xff\xff\0\x01\0\0\0\0\x7f\xff\xff\xff"),
        ("JoinGroupRequest", 0, b"\0\0\0\0\0\0\0\0\0\0\0\x7f\xff\xff\xff"),
    ];
    for (name, version, body) in refused {
        let request = REQUEST_TYPES.iter().find(|request| request.name == name).unwrap();
        assert!(!decode_in_time(request, version, body.to_vec()), "{name} v{version}");
    }
}

#[test]
fn random_bodies_are_refused_or_decoded() {
    let mut random = Random(0x6b6c_616d_6d21);
    let started = Instant::now();
    while started.elapsed() < FUZZING_TIME {
        for (request, version) in all_versions() {
            let body = random.body((request.default_body)(version).as_deref());
            decode_in_time(request, version, body);
        }
    }
}

/// The generator `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Noise, small numbers that look like lengths, or a valid body with some of it replaced.
    fn body(&mut self, valid: Option<&[u8]>) -> Vec<u8> {
        let length = self.below(120);
        match (self.below(3), valid) {
            (0, _) => (0..length).map(|_| self.next() as u8).collect(),
            (1, Some(valid)) => {
                let mut body = valid.to_vec();
                body.resize(valid.len() + self.below(20), 0);
                for _ in 0..body.len().min(4) {
                    let place = self.below(body.len());
                    body[place] = self.next() as u8;
                }
                body
            }
            _ => (0..length).map(|_| [0, 0, 0, 0, 1, 1, 2, 3, 0x7f, 0x80, 0xff][self.below(11)]).collect(),
        }
    }
}
