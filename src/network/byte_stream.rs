//! What a connection asks of its socket beside reading: writing pieces, and having the system send from a file.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

use crate::protocol::frame::{FileRange, Piece};

/// How much of a file one call sends: what is not in the page cache any more holds its thread up for no longer than
/// that takes to read.
const MAX_SENT: usize = 256 * 1024;

/// A client's connection. Both writes tell how many bytes were taken.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin {
    /// Writes `pieces`, which more bytes follow at once: they need not travel alone.
    fn poll_write_first(&mut self, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Sends the beginning of `range`. A file that was cut off before its end is an error.
    fn poll_send(&mut self, context: &mut Context<'_>, range: &FileRange) -> Poll<io::Result<usize>>;

    /// Writes as much of `piece` as there is room for; 0 where there is none. Unlike a poll it does not wait for the
    /// system to report room, which it does only once a third of its buffer is free.
    fn write_now(&mut self, piece: &Piece) -> io::Result<usize>;
}

impl ByteStream for TcpStream {
    fn poll_write_first(&mut self, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        poll_writable(self, context, |stream| send_first(stream, pieces))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, range: &FileRange) -> Poll<io::Result<usize>> {
        match ready!(poll_writable(self, context, |stream| send_file(stream, range)))? {
            0 => Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a segment is shorter than it was"))),
            sent => Poll::Ready(Ok(sent)),
        }
    }

    fn write_now(&mut self, piece: &Piece) -> io::Result<usize> {
        let written = match piece {
            Piece::Bytes(bytes) => rustix::io::write(&*self, bytes),
            Piece::File(range) => send_file(self, range),
        };
        written.map_err(io::Error::from).or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
            _ => Err(error),
        })
    }
}

/// Runs a system call once the socket takes bytes.
fn poll_writable(
    stream: &TcpStream,
    context: &mut Context<'_>,
    write: impl Fn(&TcpStream) -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(context))?;
        match stream.try_io(Interest::WRITABLE, || Ok(write(stream)?)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            result => return Poll::Ready(result),
        }
    }
}

#[cfg(target_os = "linux")]
fn send_first(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

    sendmsg(stream, pieces, &mut SendAncillaryBuffer::default(), SendFlags::MORE | SendFlags::NOSIGNAL)
}

#[cfg(target_os = "linux")]
fn send_file(stream: &TcpStream, range: &FileRange) -> rustix::io::Result<usize> {
    let mut position = range.position();
    rustix::fs::sendfile(stream, range.file(), Some(&mut position), range.len().min(MAX_SENT))
}

/// Other systems cannot be told that more follows.
#[cfg(not(target_os = "linux"))]
fn send_first(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    rustix::io::writev(stream, pieces)
}

/// Other systems' ways to send from a file differ; there a range would be read into memory, piece by piece. (None is
/// made: nothing tells there what the page cache holds.)
#[cfg(not(target_os = "linux"))]
fn send_file(stream: &TcpStream, range: &FileRange) -> rustix::io::Result<usize> {
    let mut buffer = vec![0; range.len().min(MAX_SENT)];
    let wanted = &mut buffer[..];
    let count = rustix::io::pread(range.file(), &mut *wanted, range.position())?;
    match wanted.get(..count) {
        Some(read) if !read.is_empty() => rustix::io::write(stream, read),
        _ => Ok(0),
    }
}
