//! The buffer that chunks are decompressed into.

/// What a buffer may keep between batches: the largest block of an LZ4 frame.
const MOST_KEPT: usize = 4 << 20;

/// Grows to the largest chunk that was asked for, and is used again for the next batch.
#[derive(Debug, Default)]
pub(super) struct OutputBuffer(Vec<u8>);

impl OutputBuffer {
    /// The first `size` bytes, to be written to.
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        if self.0.len() < size {
            // Nothing of the old chunk is needed: not copied, and the new zeros cost nothing until they are touched.
            self.0 = vec![0; size];
        }
        self.0.get_mut(..size).unwrap_or_default()
    }

    /// What lies between two places.
    pub(super) fn between(&self, start: usize, end: usize) -> &[u8] {
        self.0.get(start..end).unwrap_or_default()
    }

    /// Gives back a buffer that is too large to be kept.
    pub(super) fn shrink(&mut self) {
        if self.0.len() > MOST_KEPT {
            self.0 = Vec::new();
        }
    }

    /// The bytes that it holds on to.
    pub(super) fn size(&self) -> usize {
        self.0.capacity()
    }
}
