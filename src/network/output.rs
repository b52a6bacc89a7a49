//! Answers that go out, in the order of their requests.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::byte_stream::ByteStream;
use super::{Answer, CloseReason, OwedAnswer, Then};
use crate::protocol::frame::{Frame, Piece};

/// How many pieces one vectored write takes.
const MAX_PIECES: usize = 64;

/// As many pieces as a few answers have; room for no more is made for them.
const FEW_PIECES: usize = 4;

/// Queues that grew beyond this many entries are given back once empty.
const KEPT_CAPACITY: usize = 16;

/// An answer whose turn has not come.
enum Queued {
    Ready(Frame),
    Owed(OwedAnswer),
}

/// Answers not yet complete, and bytes not yet written.
#[derive(Default)]
pub(super) struct Output {
    answers: VecDeque<Queued>,
    pieces: VecDeque<Piece>,
    /// Bytes of complete answers that are not written, whether or not their turn has come.
    queued_bytes: usize,
}

impl Output {
    /// Queues an answer that is here.
    pub(super) fn push_ready(&mut self, frame: Frame) {
        self.queued_bytes += frame.size_in_bytes();
        if self.answers.is_empty() {
            self.pieces.extend(frame.into_pieces());
        } else {
            self.answers.push_back(Queued::Ready(frame));
        }
    }

    /// Queues an answer that will come.
    pub(super) fn push_owed(&mut self, answer: OwedAnswer) {
        self.answers.push_back(Queued::Owed(answer));
    }

    /// How many answers wait for one that is owed.
    pub(super) fn owed(&self) -> usize {
        self.answers.len()
    }

    /// Bytes of complete answers that are not written.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether bytes wait for the peer to take them.
    pub(super) fn has_unwritten(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Whether every answer has left.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.pieces.is_empty()
    }

    /// Gives up the answers whose turn has not come.
    pub(super) fn drop_owed(&mut self) {
        self.answers.clear();
        self.queued_bytes = self.pieces.iter().map(Piece::len).sum();
    }

    /// Collects owed answers that are complete, and moves those whose turn has come to the bytes to write. Beyond
    /// `max_queued_bytes` only the next answer is asked for, so that answers behind a slow one cannot pile up.
    ///
    /// Tells what follows the answers that have become complete; of several things the gravest.
    pub(super) fn poll_answers(
        &mut self,
        context: &mut Context<'_>,
        max_queued_bytes: usize,
    ) -> Result<Then, CloseReason> {
        let mut is_next = true;
        let mut follows = Then::Next;
        for answer in &mut self.answers {
            if let Queued::Owed(owed) = answer
                && (is_next || self.queued_bytes < max_queued_bytes)
                && let Poll::Ready(completed) = owed.as_mut().poll(context)
            {
                let Answer { frame, then } = completed?;
                follows = follows.max(then);
                self.queued_bytes += frame.size_in_bytes();
                *answer = Queued::Ready(frame);
            }
            is_next &= matches!(answer, Queued::Ready(_));
        }
        while let Some(Queued::Ready(_)) = self.answers.front() {
            if let Some(Queued::Ready(frame)) = self.answers.pop_front() {
                self.pieces.extend(frame.into_pieces());
            }
        }
        Ok(follows)
    }

    /// Writes what goes out by one call: pieces in memory up to the next one in a file, or the latter. Tells how many
    /// bytes the peer took.
    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut impl ByteStream,
    ) -> Poll<io::Result<usize>> {
        let written = match self.pieces.front() {
            Some(Piece::File(range)) => ready!(stream.poll_send(context, range))?,
            _ if self.pieces.len() <= FEW_PIECES => ready!(self.poll_write_bytes::<FEW_PIECES>(context, stream))?,
            _ => ready!(self.poll_write_bytes::<MAX_PIECES>(context, stream))?,
        };
        self.advance(written);
        Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) })
    }

    /// Writes what the peer has made room for, although the system has not reported any; how many bytes that were.
    pub(super) fn write_now(&mut self, stream: &mut impl ByteStream) -> io::Result<usize> {
        let Some(piece) = self.pieces.front() else { return Ok(0) };
        let written = stream.write_now(piece)?;
        self.advance(written);
        Ok(written)
    }

    fn poll_write_bytes<const MOST: usize>(
        &self,
        context: &mut Context<'_>,
        stream: &mut impl ByteStream,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); MOST];
        let mut count = 0;
        let mut is_followed = false;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let Piece::Bytes(bytes) = piece else {
                is_followed = true;
                break;
            };
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        if is_followed {
            stream.poll_write_first(context, slices)
        } else {
            Pin::new(stream).poll_write_vectored(context, slices)
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.queued_bytes -= written;
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() > written {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
        if self.is_empty() && self.pieces.capacity() > KEPT_CAPACITY {
            (self.pieces, self.answers) = Default::default();
        }
    }
}
