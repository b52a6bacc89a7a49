//! Answers that go out, in the order of their requests.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::byte_stream::ByteStream;
use super::{Answer, Asked, CloseReason, OwedAnswer, Then};
use crate::protocol::frame::{Frame, Piece};

/// How many pieces one vectored write takes.
const MAX_PIECES: usize = 64;

/// As many pieces as a few answers have; room for no more is made for them.
const FEW_PIECES: usize = 4;

/// Queues that grew beyond this many entries are given back once empty.
const KEPT_CAPACITY: usize = 16;

/// An answer whose turn has not come, and what it answers.
struct Queued {
    asked: Asked,
    answer: AnswerState,
}

enum AnswerState {
    Ready(Frame),
    Owed(OwedAnswer),
}

/// Bytes to write.
struct Unwritten {
    piece: Piece,
    /// What is answered once these bytes are written: they are the last ones of an answer.
    answers: Option<Asked>,
}

/// Answers not yet complete, and bytes not yet written.
#[derive(Default)]
pub(super) struct Output {
    answers: VecDeque<Queued>,
    pieces: VecDeque<Unwritten>,
    /// Bytes of complete answers that are not written, whether or not their turn has come.
    queued_bytes: usize,
}

impl Output {
    /// Queues an answer that is here.
    pub(super) fn push_ready(&mut self, frame: Frame, asked: Asked) {
        self.queued_bytes += frame.size_in_bytes();
        if self.answers.is_empty() {
            self.push_pieces(frame, asked);
        } else {
            self.answers.push_back(Queued { asked, answer: AnswerState::Ready(frame) });
        }
    }

    /// Queues an answer that will come.
    pub(super) fn push_owed(&mut self, answer: OwedAnswer, asked: Asked) {
        self.answers.push_back(Queued { asked, answer: AnswerState::Owed(answer) });
    }

    fn push_pieces(&mut self, frame: Frame, asked: Asked) {
        self.pieces.extend(frame.into_pieces().map(|piece| Unwritten { piece, answers: None }));
        if let Some(last) = self.pieces.back_mut() {
            last.answers = Some(asked);
        }
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
        self.queued_bytes = self.pieces.iter().map(|unwritten| unwritten.piece.len()).sum();
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
        for Queued { answer, .. } in &mut self.answers {
            if let AnswerState::Owed(owed) = answer
                && (is_next || self.queued_bytes < max_queued_bytes)
                && let Poll::Ready(completed) = owed.as_mut().poll(context)
            {
                let Answer { frame, then } = completed?;
                follows = follows.max(then);
                self.queued_bytes += frame.size_in_bytes();
                *answer = AnswerState::Ready(frame);
            }
            is_next &= matches!(answer, AnswerState::Ready(_));
        }
        let is_ready = |queued: &mut Queued| matches!(queued.answer, AnswerState::Ready(_));
        while let Some(Queued { asked, answer: AnswerState::Ready(frame) }) = self.answers.pop_front_if(is_ready) {
            self.push_pieces(frame, asked);
        }
        Ok(follows)
    }

    /// Writes what goes out by one call: pieces in memory up to the next one in a file, or the latter. Tells how many
    /// bytes the peer took, of which [`Output::take_written`] must be told.
    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut impl ByteStream,
    ) -> Poll<io::Result<usize>> {
        let written = match self.pieces.front().map(|unwritten| &unwritten.piece) {
            Some(Piece::File(range)) => ready!(stream.poll_send(context, range))?,
            _ if self.pieces.len() <= FEW_PIECES => ready!(self.poll_write_bytes::<FEW_PIECES>(context, stream))?,
            _ => ready!(self.poll_write_bytes::<MAX_PIECES>(context, stream))?,
        };
        Poll::Ready(if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) })
    }

    /// Writes what the peer has made room for, although the system has not reported any; how many bytes that were, of
    /// which [`Output::take_written`] must be told.
    pub(super) fn write_now(&mut self, stream: &mut impl ByteStream) -> io::Result<usize> {
        let Some(unwritten) = self.pieces.front() else { return Ok(0) };
        stream.write_now(&unwritten.piece)
    }

    fn poll_write_bytes<const MOST: usize>(
        &self,
        context: &mut Context<'_>,
        stream: &mut impl ByteStream,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); MOST];
        let mut count = 0;
        let mut is_followed = false;
        for (slice, unwritten) in slices.iter_mut().zip(&self.pieces) {
            let Piece::Bytes(bytes) = &unwritten.piece else {
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

    /// Lets go of the first `written` bytes, and tells of each request that they complete the answer of.
    pub(super) fn take_written(&mut self, mut written: usize, mut answered: impl FnMut(Asked)) {
        self.queued_bytes -= written;
        while let Some(Unwritten { piece, answers }) = self.pieces.front_mut() {
            if piece.len() > written {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            answers.take().into_iter().for_each(&mut answered);
            self.pieces.pop_front();
        }
        if self.is_empty() && self.pieces.capacity() > KEPT_CAPACITY {
            (self.pieces, self.answers) = Default::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::Monotonic;

    fn asked(kind: u8) -> Asked {
        Asked { start: [kind; 4], arrived: Monotonic::ZERO }
    }

    fn frame(sizes: &[usize]) -> Frame {
        let mut pieces = sizes.iter().map(|&size| Bytes::from(vec![0; size]));
        Frame::in_pieces(pieces.next().unwrap(), pieces.map(Piece::Bytes).collect())
    }

    #[test]
    fn a_request_is_answered_when_the_last_byte_of_its_answer_is_written() {
        let mut output = Output::default();
        output.push_ready(frame(&[4, 6]), asked(1));
        output.push_owed(Box::pin(async { Ok(frame(&[5]).into()) }), asked(2));
        output.push_ready(frame(&[7, 0]), asked(3));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert_eq!(output.poll_answers(&mut context, usize::MAX), Ok(Then::Next));
        let mut answered = Vec::new();
        let told: Vec<usize> = [4, 5, 1, 10, 2]
            .into_iter()
            .map(|written| {
                output.take_written(written, |asked| answered.push(asked.start[0]));
                answered.len()
            })
            .collect();
        assert_eq!((told, answered), (vec![0, 0, 1, 2, 3], vec![1, 2, 3]));
        assert!(output.is_empty() && output.queued_bytes() == 0);
    }
}
