//! Any bytes as the body of any request type at any version, and as a request header.
//!
//! The first byte names the type, the second the version, the rest is the body. Whatever comes of it, the memory that is
//! reserved at once is bounded by the frame's size, and by a constant for the largest frames.

#![no_main]

use bytes::Bytes;
use klamm::protocol::header::RequestHeader;
use klamm_fuzz::allocation::{Counting, peak_of};
use libfuzzer_sys::fuzz_target;

#[path = "../requests.rs"]
#[expect(dead_code, reason = "the integration tests use more of it")]
mod requests;

use requests::REQUEST_TYPES;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The memory rule: so many times the frame, and so much for any frame. Most of it may be reserved for the elements that
/// an array claims, and is never touched: a claim needs four bytes per element, an element takes up to 188 in memory, and
/// arrays are nested.
const FRAMES: usize = 128;
const ALLOWANCE: usize = 1024 * 1024;

fuzz_target!(|input: &[u8]| {
    let [number, version, body @ ..] = input else { return };
    let request = &REQUEST_TYPES[usize::from(*number) % REQUEST_TYPES.len()];
    let versions = request.versions.max - request.versions.min + 1;
    let version = request.versions.min + i16::from(*version) % versions;
    let body = Bytes::copy_from_slice(body);
    let peak = peak_of(|| {
        (request.decodes)(body.clone(), version);
    });
    let allowed = FRAMES * body.len() + ALLOWANCE;
    assert!(peak <= allowed, "{} v{version}: {peak} bytes for a body of {}", request.name, body.len());
    let peak = peak_of(|| {
        let _ = RequestHeader::decode(&mut body.clone());
    });
    assert!(peak <= allowed, "{peak} bytes for a header of {}", body.len());
});
