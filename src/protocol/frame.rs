//! A response as the network writes it: the length prefix and everything behind it, in one or more pieces.

use bytes::{Bytes, BytesMut};

/// One length-prefixed message, cut so that record bytes need not be copied next to their envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Frame {
    /// The frame in one piece; `bytes` starts with its 4-byte length.
    pub fn new(bytes: Bytes) -> Self {
        Self { first: bytes, rest: Vec::new() }
    }

    /// The frame in pieces; `first` starts with the 4-byte length of all that follows it, the `rest` included.
    pub fn in_pieces(first: Bytes, rest: Vec<Bytes>) -> Self {
        Self { first, rest }
    }

    /// How many bytes go onto the wire, the length prefix included.
    pub fn size_in_bytes(&self) -> usize {
        self.first.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }

    /// The pieces in the order of the wire.
    pub fn into_pieces(self) -> impl Iterator<Item = Bytes> {
        std::iter::once(self.first).chain(self.rest)
    }

    /// All pieces copied into one; for tests and for small frames.
    pub fn to_bytes(&self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.size_in_bytes());
        whole.extend_from_slice(&self.first);
        self.rest.iter().for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }
}
