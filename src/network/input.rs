//! Bytes that come in, cut into frames.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::CloseReason;

/// The length prefix of every frame.
const LENGTH_SIZE: usize = 4;

/// How much is read at once where no long frame is expected: from the socket to the stack, and what came from there to
/// a buffer of just that size, so that a connection without traffic holds no buffer at all.
const SCRATCH_SIZE: usize = 16 * 1024;

/// What a long frame's buffer starts with, which is enough for most, so that few are copied while they arrive; it grows
/// by the factor whenever it is nearly full. The system gives it memory only as bytes arrive in it.
const FIRST_RESERVATION: usize = 1024 * 1024;
const GROWTH_FACTOR: usize = 4;

/// Frames up to this length are read before the service is asked whether it takes them.
const UNASKED_LENGTH: usize = 64 * 1024;

/// How fast a started frame must arrive at least, besides its first seconds.
const MIN_BYTES_PER_SECOND: usize = 10 * 1024;

/// What has arrived of the frames that are not handled yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    buffer: BytesMut,
}

impl Input {
    /// Cuts off the next frame, without its length prefix, or tells with `None` that more of it must arrive.
    ///
    /// `max_bytes` bounds every frame, `limit_of` those that start with the bytes it is given.
    pub(super) fn take_frame(
        &mut self,
        max_bytes: usize,
        limit_of: impl FnOnce([u8; 4]) -> usize,
    ) -> Result<Option<Bytes>, CloseReason> {
        let Some((&prefix, rest)) = self.buffer.split_first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
        let length = frame_length(prefix, max_bytes)?;
        if length > UNASKED_LENGTH
            && let Some(start) = rest.first_chunk()
        {
            let limit = limit_of(*start);
            if length > limit {
                return Err(format!("a request of {length} bytes, of which kind only {limit} are allowed").into());
            }
        }
        if rest.len() < length {
            return Ok(None);
        }
        Ok(Some(self.cut(LENGTH_SIZE + length)))
    }

    fn cut(&mut self, end: usize) -> Bytes {
        let mut frame = if self.buffer.len() == end {
            // Taking the whole buffer leaves none behind for the time until the next frame.
            std::mem::take(&mut self.buffer).freeze()
        } else {
            self.buffer.split_to(end).freeze()
        };
        frame.advance(LENGTH_SIZE);
        frame
    }

    /// Whether a frame has begun to arrive.
    pub(super) fn has_started_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// How long the frame that has begun may take, given `grace` for its first bytes.
    pub(super) fn patience(&self, grace: Duration) -> Duration {
        grace + Duration::from_secs((self.buffer.len() / MIN_BYTES_PER_SECOND) as u64)
    }

    /// Reads what is there; 0 bytes mean that the peer sends no more. Call it only when [`Input::take_frame`] wants more.
    pub(super) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        match self.missing() {
            Some(missing) if missing > SCRATCH_SIZE => self.poll_fill_long(context, stream, missing),
            _ => self.poll_fill_short(context, stream),
        }
    }

    /// How many bytes the frame that has begun still lacks, if its length has arrived.
    fn missing(&self) -> Option<usize> {
        let (&prefix, rest) = self.buffer.split_first_chunk::<LENGTH_SIZE>()?;
        usize::try_from(i32::from_be_bytes(prefix)).ok()?.checked_sub(rest.len())
    }

    fn poll_fill_short(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<usize>> {
        let mut scratch = [const { std::mem::MaybeUninit::uninit() }; SCRATCH_SIZE];
        let mut scratch = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(stream).poll_read(context, &mut scratch))?;
        self.buffer.extend_from_slice(scratch.filled());
        Poll::Ready(Ok(scratch.filled().len()))
    }

    /// Reads into the frame's own buffer and not past the frame's end, so that no later frame keeps the buffer alive.
    fn poll_fill_long(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        missing: usize,
    ) -> Poll<io::Result<usize>> {
        let length = self.buffer.len();
        if self.buffer.capacity() - length < missing.min(SCRATCH_SIZE) {
            let more = (length * (GROWTH_FACTOR - 1)).max(FIRST_RESERVATION);
            self.buffer.reserve(more.min(missing));
        }
        let mut room = (&mut self.buffer).limit(missing);
        pin!(stream.read_buf(&mut room)).poll(context)
    }
}

fn frame_length(prefix: [u8; LENGTH_SIZE], max_bytes: usize) -> Result<usize, CloseReason> {
    let length = i32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(length) if length <= max_bytes => Ok(length),
        _ => Err(match foreign_protocol(prefix) {
            Some(hint) => hint.into(),
            None => format!("a frame of {length} bytes, where 0 to {max_bytes} are allowed").into(),
        }),
    }
}

/// What other protocols' first bytes, read as a length, give away.
fn foreign_protocol(prefix: [u8; LENGTH_SIZE]) -> Option<&'static str> {
    match &prefix {
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"OPTI" | b"DELE" | b"PATC" | b"CONN" | b"PRI " => {
            Some("this is the Kafka port, and the client speaks HTTP, which is served at klamm.http.bind")
        }
        [0x16, 0x03, ..] => {
            Some("this listener is PLAINTEXT, and the client speaks TLS: it needs security.protocol=PLAINTEXT")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &[u8]) -> Input {
        Input { buffer: BytesMut::from(bytes) }
    }

    fn take(input: &mut Input) -> Result<Option<Bytes>, CloseReason> {
        input.take_frame(1_000_000, |_| 100_000)
    }

    #[test]
    fn frames_are_cut_in_order_and_parts_are_kept() {
        let mut input = input(b"\0\0\0\x02ab\0\0\0\0\0\0\0\x03cd");
        assert_eq!(take(&mut input), Ok(Some(Bytes::from_static(b"ab"))));
        assert_eq!(take(&mut input), Ok(Some(Bytes::new())));
        assert_eq!(take(&mut input), Ok(None));
        assert_eq!(input.missing(), Some(1));
        input.buffer.extend_from_slice(b"e");
        assert_eq!(take(&mut input), Ok(Some(Bytes::from_static(b"cde"))));
        assert_eq!((input.has_started_frame(), input.buffer.capacity()), (false, 0));
    }

    #[test]
    fn lengths_out_of_bounds_are_refused_at_once() {
        assert!(take(&mut input(b"\xff\xff\xff\xff")).is_err());
        assert!(take(&mut input(&1_000_001_i32.to_be_bytes())).is_err());
        assert_eq!(take(&mut input(&1_000_000_i32.to_be_bytes())), Ok(None), "of an unknown kind yet");
        assert!(take(&mut input(b"\0\x0f\0\0\0\x03\0\x01")).is_err(), "more than its kind may have");
    }

    #[test]
    fn other_protocols_are_recognised() {
        for (bytes, word) in [(&b"GET /"[..], "HTTP"), (b"POST ", "HTTP"), (b"\x16\x03\x01\x02\x00", "TLS")] {
            assert!(take(&mut input(bytes)).is_err_and(|reason| reason.contains(word)), "{word}");
        }
    }
}
