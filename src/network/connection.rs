//! One connection: one task that reads, has requests handled, and writes.
//!
//! The order of everything that can happen is decided in [`Connection::poll_frame`]: answers leave first, then the next
//! request is taken, then the end is looked for, and only when nothing is to be done does a deadline matter.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::yield_now;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::byte_stream::ByteStream;
use super::input::Input;
use super::output::Output;
use super::{Answer, Asked, CloseReason, Endpoints, Handled, Limits, Service, Then};
use crate::clock::{Alarm, Clock, Monotonic, Sleep};

/// Answers to requests that arrived together are written together up to this many bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// After so many bytes in one go the others have their turn, even if the peer would take or has sent more.
const TURN_BYTES: usize = 256 * 1024;

/// Has the current task polled again after the runtime has looked at the sockets. A mere wake-up would not do: while a
/// task is ready, the runtime looks only once in dozens of polls.
fn yield_turn(context: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(context);
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// As connections end: the peer left, was idle, or we stop.
    Usual(CloseReason),
    /// With something that its owner should know.
    Notable(CloseReason),
}

/// A peer that vanishes is nothing unusual.
impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        Self::Usual(error.to_string().into())
    }
}

/// What all connections of a server share.
pub(super) struct SharedServer<S> {
    pub(super) service: Arc<S>,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
}

/// Serves `stream` until it ends. When `stopping` is cancelled, takes no more requests and ends once those it has taken
/// are answered.
pub(super) async fn serve<S: Service>(
    shared: &SharedServer<S>,
    stream: impl ByteStream,
    endpoints: Endpoints,
    stopping: CancellationToken,
) -> Ending {
    let mut session = shared.service.open(endpoints);
    let mut connection = Connection::new(shared, stream, stopping);
    loop {
        let frame = match poll_fn(|context| connection.poll_frame(context, &session)).await {
            Ok(frame) => frame,
            Err(ending) => return ending,
        };
        let asked = connection.asked(&frame);
        // Boxed, so that a connection between two requests does not hold room for the largest handler's state.
        let mut handling = Box::pin(shared.service.handle(&mut session, frame));
        match poll_fn(|context| connection.poll_handling(context, handling.as_mut())).await {
            Ok(handled) => connection.take_answer(handled, asked),
            Err(ending) => return ending,
        }
    }
}

struct Connection<'a, S, T> {
    shared: &'a SharedServer<S>,
    stream: T,
    input: Input,
    output: Output,
    /// Set once no more requests are taken; answers to earlier ones still leave.
    ending: Option<Ending>,
    /// Set while the client is throttled: no more requests are read until then.
    muted: Option<(Monotonic, Sleep)>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    /// When bytes last came or went.
    active_at: Monotonic,
    /// When bytes last came.
    read_at: Monotonic,
    /// Since when we wait for the rest of a frame.
    frame_awaited_since: Option<Monotonic>,
    /// Since when the peer takes none of what we have for it.
    write_blocked_since: Option<Monotonic>,
    alarm: Alarm,
    /// How many bytes came and went since others had their turn.
    turn_bytes: usize,
}

impl<'a, S: Service, T: ByteStream> Connection<'a, S, T> {
    fn new(shared: &'a SharedServer<S>, stream: T, stopping: CancellationToken) -> Self {
        Self {
            shared,
            stream,
            input: Input::default(),
            output: Output::default(),
            ending: None,
            muted: None,
            stopping: Box::pin(stopping.cancelled_owned()),
            active_at: shared.clock.monotonic(),
            read_at: Monotonic::ZERO,
            frame_awaited_since: None,
            write_blocked_since: None,
            alarm: Alarm::new(shared.clock.clone()),
            turn_bytes: 0,
        }
    }

    /// The next request to handle, or how the connection ended.
    fn poll_frame(&mut self, context: &mut Context<'_>, session: &S::Session) -> Poll<Result<Bytes, Ending>> {
        self.poll_unmute(context);
        loop {
            // Requests that arrived together are handled before their answers are written, in one go.
            if self.output.queued_bytes() < BATCH_BYTES
                && let Some(frame) = self.take_frame(session)
            {
                return Poll::Ready(Ok(frame));
            }
            self.poll_output(context)?;
            if let Some(frame) = self.take_frame(session) {
                return Poll::Ready(Ok(frame));
            }
            if self.ending.is_none() && self.stopping.as_mut().poll(context).is_ready() {
                self.ending = Some(Ending::Usual("the broker stops".into()));
            }
            if self.output.is_empty()
                && let Some(ending) = self.ending.take()
            {
                return Poll::Ready(Err(ending));
            }
            if !self.poll_input(context)? {
                return self.poll_deadline(context).map(Err);
            }
        }
    }

    /// Waits for the handler while earlier answers leave.
    fn poll_handling(
        &mut self,
        context: &mut Context<'_>,
        handling: Pin<&mut impl Future<Output = Handled>>,
    ) -> Poll<Result<Handled, Ending>> {
        if let Poll::Ready(handled) = handling.poll(context) {
            return Poll::Ready(Ok(handled));
        }
        self.poll_output(context)?;
        self.active_at = self.shared.clock.monotonic();
        self.poll_deadline(context).map(Err)
    }

    /// The request in `frame`, which was just taken: nothing is read while it is handled.
    fn asked(&self, frame: &Bytes) -> Asked {
        Asked { start: frame.first_chunk().copied().unwrap_or_default(), arrived: self.read_at }
    }

    fn take_answer(&mut self, handled: Handled, asked: Asked) {
        match handled {
            Handled::NoAnswer(then) => self.follow(then),
            Handled::Ready(Answer { frame, then }) => {
                self.output.push_ready(frame, asked);
                self.follow(then);
            }
            Handled::Owed(answer) => self.output.push_owed(answer, asked),
        }
    }

    /// Does what follows an answer. Of two throttle times that overlap, the one that ends later counts.
    fn follow(&mut self, then: Then) {
        match then {
            Then::Next => {}
            Then::Mute(time) => {
                let clock = &self.shared.clock;
                let end = clock.monotonic() + time;
                if self.muted.as_ref().is_none_or(|(muted_until, _)| *muted_until < end) {
                    self.muted = Some((end, clock.sleep_until(end)));
                }
            }
            Then::Close(reason) => self.ending = Some(Ending::Notable(reason)),
        }
    }

    /// Lets requests be read again once the throttle time is over, or wakes the task when it will be.
    fn poll_unmute(&mut self, context: &mut Context<'_>) {
        if let Some((_, muted)) = &mut self.muted
            && Pin::new(muted).poll(context).is_ready()
        {
            self.muted = None;
            // That nothing came and went meanwhile was our wish.
            self.active_at = self.shared.clock.monotonic();
        }
    }

    /// Whether the bounds allow one more request.
    fn takes_requests(&self) -> bool {
        let limits = &self.shared.limits;
        self.ending.is_none()
            && self.muted.is_none()
            && self.output.owed() < limits.max_owed
            && self.output.queued_bytes() < limits.max_queued_bytes
    }

    fn take_frame(&mut self, session: &S::Session) -> Option<Bytes> {
        if !self.takes_requests() {
            return None;
        }
        let SharedServer { service, limits, .. } = self.shared;
        match self.input.take_frame(limits.max_request_bytes, |start| service.frame_limit(session, start)) {
            Ok(frame) => {
                self.frame_awaited_since = self.frame_awaited_since.filter(|_| frame.is_none());
                frame
            }
            Err(reason) => {
                self.ending = Some(Ending::Notable(reason));
                None
            }
        }
    }

    fn poll_output(&mut self, context: &mut Context<'_>) -> Result<(), Ending> {
        self.poll_answers(context)?;
        while self.output.has_unwritten() && self.has_turn(context) {
            let Poll::Ready(written) = self.output.poll_write(context, &mut self.stream) else {
                self.write_blocked_since.get_or_insert_with(|| self.shared.clock.monotonic());
                return Ok(());
            };
            let written = written?;
            self.turn_bytes += written;
            self.note_written(written, self.shared.clock.monotonic());
            self.poll_answers(context)?;
        }
        Ok(())
    }

    fn note_written(&mut self, written: usize, now: Monotonic) {
        self.write_blocked_since = None;
        self.active_at = now;
        let service = &self.shared.service;
        self.output.take_written(written, |asked| service.answered(asked, now));
    }

    fn poll_answers(&mut self, context: &mut Context<'_>) -> Result<(), Ending> {
        let answered = self.output.poll_answers(context, self.shared.limits.max_queued_bytes);
        match answered.map_err(Ending::Notable)? {
            Then::Next => {}
            then => {
                self.follow(then);
                self.poll_unmute(context);
            }
        }
        Ok(())
    }

    /// Reads once; whether that changed anything.
    fn poll_input(&mut self, context: &mut Context<'_>) -> Result<bool, Ending> {
        if !self.takes_requests() {
            // The time in which we do not read is not the peer's fault.
            self.frame_awaited_since = None;
            return Ok(false);
        }
        if !self.has_turn(context) {
            return Ok(false);
        }
        match self.input.poll_fill(context, &mut self.stream) {
            Poll::Ready(Ok(0)) => {
                // Nobody waits for what is still owed; what is complete may still be read.
                self.output.drop_owed();
                self.ending = Some(Ending::Usual("the client closed the connection".into()));
                Ok(true)
            }
            Poll::Ready(read) => {
                self.turn_bytes += read?;
                self.active_at = self.shared.clock.monotonic();
                self.read_at = self.active_at;
                Ok(true)
            }
            Poll::Pending => {
                if self.input.has_started_frame() {
                    self.frame_awaited_since.get_or_insert_with(|| self.shared.clock.monotonic());
                }
                Ok(false)
            }
        }
    }

    /// Whether this connection may go on; if not, its task is polled again after the others had their turn.
    fn has_turn(&self, context: &mut Context<'_>) -> bool {
        let has_turn = self.turn_bytes < TURN_BYTES;
        if !has_turn {
            yield_turn(context);
        }
        has_turn
    }

    /// Ready when a deadline has passed; else the turn is over, and the task is woken by the nearest deadline at the
    /// latest.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        self.turn_bytes = 0;
        let Some((deadline, reason)) = self.nearest_deadline() else { return Poll::Pending };
        let now = ready!(self.alarm.poll(deadline, context));
        match self.write_late(now) {
            Ok(0) => Poll::Ready(reason),
            Ok(_) => {
                // There may be more room, and fewer bytes are queued: all is looked at again.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => Poll::Ready(error.into()),
        }
    }

    /// Writes to a peer that has made no room for too long, as far as the system reports it: megabytes may wait in its
    /// buffer, of which a slow but steady reader has taken some. Tells how many bytes were written.
    fn write_late(&mut self, now: Monotonic) -> io::Result<usize> {
        if self.write_blocked_since.is_none_or(|since| now < since + self.shared.limits.write_timeout) {
            return Ok(0);
        }
        let written = self.output.write_now(&mut self.stream)?;
        if written > 0 {
            self.note_written(written, now);
        }
        Ok(written)
    }

    fn nearest_deadline(&self) -> Option<(Monotonic, Ending)> {
        let limits = &self.shared.limits;
        let blocked = self.write_blocked_since.map(|since| {
            (since + limits.write_timeout, Ending::Notable("the client does not read its answers".into()))
        });
        let unfinished = self.frame_awaited_since.map(|since| {
            let reason = Ending::Notable("a request did not arrive in time".into());
            (since + self.input.patience(limits.frame_timeout), reason)
        });
        let idle = (self.output.is_empty() && unfinished.is_none() && self.muted.is_none())
            .then(|| (self.active_at + limits.idle_timeout, Ending::Usual("the connection was idle".into())));
        [blocked, unfinished, idle].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

    use super::*;
    use crate::protocol::frame::{FileRange, Frame, Piece};

    /// A peer that never makes us wait: it has sent `requests` at once and takes every byte. When it is asked for
    /// `signal_at` or later, it writes to `neighbour`.
    struct Greedy {
        requests: Bytes,
        moved: Arc<AtomicUsize>,
        signal_at: usize,
        neighbour: Option<UnixStream>,
    }

    impl Greedy {
        fn moves(&mut self, count: usize) -> usize {
            if self.moved.fetch_add(count, Ordering::Relaxed) + count >= self.signal_at
                && let Some(mut neighbour) = self.neighbour.take()
            {
                neighbour.write_all(b"!").unwrap();
            }
            count
        }
    }

    impl AsyncRead for Greedy {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let count = self.requests.len().min(into.remaining());
            if count == 0 {
                return Poll::Pending;
            }
            into.put_slice(&self.requests.split_to(count));
            self.moves(count);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Greedy {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(self.moves(bytes.len())))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl ByteStream for Greedy {
        fn poll_write_first(&mut self, _: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(self.moves(pieces.iter().map(|piece| piece.len()).sum())))
        }

        fn poll_send(&mut self, _: &mut Context<'_>, range: &FileRange) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(self.moves(range.len())))
        }

        fn write_now(&mut self, piece: &Piece) -> io::Result<usize> {
            Ok(self.moves(piece.len()))
        }
    }

    /// Answers every request with `answer`.
    struct Generous {
        answer: Frame,
    }

    impl Service for Generous {
        type Session = ();

        fn open(&self, _: Endpoints) {}

        fn frame_limit(&self, (): &(), _: [u8; 4]) -> usize {
            usize::MAX
        }

        async fn handle(&self, (): &mut (), _: Bytes) -> Handled {
            Handled::Ready(self.answer.clone().into())
        }
    }

    /// Serves a greedy peer until all has moved; how many bytes had moved when its neighbour, to whom something came at
    /// `signal_at`, was heard.
    async fn moved_when_the_neighbour_is_heard(requests: Bytes, answer: Frame, signal_at: usize, all: usize) -> usize {
        let shared =
            SharedServer { service: Arc::new(Generous { answer }), limits: Limits::default(), clock: Clock::system() };
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut near = tokio::net::UnixStream::from_std(near).unwrap();
        let moved = Arc::new(AtomicUsize::new(0));
        let greedy = Greedy { requests, moved: Arc::clone(&moved), signal_at, neighbour: Some(far) };
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoints = Endpoints { listener: "A".into(), peer: address, local: address };
        let stopping = CancellationToken::new();
        let serving = stopping.clone();
        // Tasks of their own: the runtime looks at the sockets more often while it drives a test's own future.
        let serving = tokio::spawn(async move { serve(&shared, greedy, endpoints, serving).await });
        let heard_at = tokio::spawn(async move {
            near.read_u8().await.unwrap();
            let heard_at = moved.load(Ordering::Relaxed);
            while moved.load(Ordering::Relaxed) < all {
                yield_now().await;
            }
            stopping.cancel();
            heard_at
        });
        tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap();
        heard_at.await.unwrap()
    }

    #[tokio::test]
    async fn a_peer_that_takes_everything_lets_others_have_their_turn() {
        let pieces = vec![Piece::Bytes(Bytes::from(vec![0; TURN_BYTES])); 200];
        let answer = Frame::in_pieces(Bytes::from_static(b"...."), pieces);
        let request = Bytes::from_static(&[0, 0, 0, 1, 0]);
        let heard_at = moved_when_the_neighbour_is_heard(request, answer, 3 * TURN_BYTES, 200 * TURN_BYTES).await;
        assert!(heard_at < 10 * TURN_BYTES, "it was heard after {heard_at} bytes");
    }

    #[tokio::test]
    async fn a_peer_that_sends_on_and_on_lets_others_have_their_turn() {
        let request = [&60_000_u32.to_be_bytes()[..], &vec![0; 60_000]].concat();
        let requests = Bytes::from(request.repeat(1_000));
        let all = requests.len();
        let answer = Frame::new(Bytes::from_static(b"."));
        let heard_at = moved_when_the_neighbour_is_heard(requests, answer, 3 * TURN_BYTES, all).await;
        assert!(heard_at < 10 * TURN_BYTES, "it was heard after {heard_at} bytes");
    }
}
