//! Servers for the tests: the network in front of a made-up service, or of the real dispatch.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use klamm::clock::Clock;
use klamm::config::{self, HostPort, SecurityProtocol};
use klamm::network::{Answer, BoundListener, Endpoints, Handled, Limits, Service, SocketServer, Then};
use klamm::protocol::frame::{FileRange, Frame, Piece};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// How long anything that must happen may take: long enough for a machine that builds besides, where cleaners give way to
/// whatever else there is to do. Nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// For how long a connection is muted.
pub(crate) const MUTED: Duration = Duration::from_millis(300);

/// Answers requests by their first byte: `=` repeats the request, `?` owes the answer until [`Script::complete`], `+`
/// answers with as many kilobytes as the next two bytes say, `f` does so from a file (and `F` from one that is too
/// short), `-` answers nothing, `x` closes. `m` repeats the request and mutes the connection for [`MUTED`], `M` owes such
/// an answer, and `l` repeats the request as the last one.
#[derive(Default)]
pub(crate) struct Script {
    owed: Mutex<HashMap<Vec<u8>, oneshot::Sender<()>>>,
    pub(crate) handled: AtomicUsize,
    pub(crate) dropped_owed: Arc<AtomicUsize>,
}

impl Script {
    /// Lets the owed answer to `request` go.
    pub(crate) async fn complete(&self, request: &[u8]) {
        until(|| self.owed.lock().unwrap().contains_key(request)).await;
        self.owed.lock().unwrap().remove(request).unwrap().send(()).unwrap();
    }

    pub(crate) fn handled(&self) -> usize {
        self.handled.load(Ordering::SeqCst)
    }

    fn owe(&self, request: Bytes) -> Handled {
        let (sender, receiver) = oneshot::channel();
        self.owed.lock().unwrap().insert(request.to_vec(), sender);
        let unfinished = Unfinished(Arc::clone(&self.dropped_owed));
        Handled::Owed(Box::pin(async move {
            receiver.await.map_err(|_| "nobody completes it")?;
            unfinished.finish();
            let then = if request.starts_with(b"M") { Then::Mute(MUTED) } else { Then::Next };
            Ok(Answer { frame: Frame::new(framed(&request)), then })
        }))
    }
}

/// Counts when it is dropped before it is finished.
struct Unfinished(Arc<AtomicUsize>);

impl Unfinished {
    fn finish(self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Service for Script {
    type Session = ();

    fn open(&self, _endpoints: Endpoints) {}

    fn frame_limit(&self, _session: &(), start: [u8; 4]) -> usize {
        if start[0] == b'=' { usize::MAX } else { 64 * 1024 }
    }

    async fn handle(&self, _session: &mut (), frame: Bytes) -> Handled {
        self.handled.fetch_add(1, Ordering::SeqCst);
        match frame.first() {
            Some(b'=') => Handled::Ready(Frame::new(framed(&frame)).into()),
            Some(b'm') => Handled::Ready(Answer { frame: Frame::new(framed(&frame)), then: Then::Mute(MUTED) }),
            Some(b'l') => {
                let then = Then::Close("it was the last one".into());
                Handled::Ready(Answer { frame: Frame::new(framed(&frame)), then })
            }
            Some(b'?' | b'M') => self.owe(frame),
            Some(b'+') => {
                let kilobytes = usize::from(u16::from_be_bytes([frame[1], frame[2]]));
                Handled::Ready(Frame::new(framed(&vec![b'+'; kilobytes * 1024])).into())
            }
            Some(&kind @ (b'f' | b'F')) => {
                let size = usize::from(u16::from_be_bytes([frame[1], frame[2]])) * 1024;
                Handled::Ready(from_file(size, if kind == b'f' { size } else { size / 2 }).into())
            }
            Some(b'-') => Handled::NoAnswer(Then::Next),
            _ => Handled::close("it is not in the script"),
        }
    }
}

/// An answer whose `size` bytes are promised to be in a file that has only `written` of them.
fn from_file(size: usize, written: usize) -> Frame {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&vec![b'f'; written], 3).unwrap();
    let length = i32::try_from(size + 2).unwrap().to_be_bytes();
    let first = Bytes::copy_from_slice(&[&length[..], b"<"].concat());
    let range = FileRange::new(Arc::new(file), 3, size);
    Frame::in_pieces(first, vec![Piece::File(range), Piece::Bytes(Bytes::from_static(b">"))])
}

/// `body` behind its length.
pub(crate) fn framed(body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(body.len()).unwrap());
    frame.put_slice(body);
    frame.freeze()
}

pub(crate) struct Server<S> {
    pub(crate) service: Arc<S>,
    pub(crate) network: SocketServer,
    pub(crate) port: u16,
}

/// Serves `service` on a port of its own.
pub(crate) fn start<S: Service>(service: S, limits: Limits) -> Server<S> {
    let bind = HostPort { host: "127.0.0.1".into(), port: 0 };
    let protocol = SecurityProtocol::Plaintext;
    let listener = config::Listener { name: "PLAINTEXT".into(), bind, advertised: None, protocol };
    let listener = BoundListener::bind(&listener, 1024).unwrap();
    let port = listener.local.port();
    let service = Arc::new(service);
    let network = SocketServer::start(vec![listener], Arc::clone(&service), limits, Clock::system()).unwrap();
    Server { service, network, port }
}

impl<S> Server<S> {
    pub(crate) async fn connect(&self) -> Peer {
        Peer(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap())
    }

    /// Sends `bytes` on a connection of their own and checks that the server closes it without an answer.
    pub(crate) async fn assert_closes_on(&self, bytes: &[u8]) {
        let mut peer = self.connect().await;
        peer.send(bytes).await;
        peer.assert_closed().await;
    }
}

/// A client that sends whatever bytes it likes.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn request(&mut self, body: &[u8]) {
        self.send(&framed(body)).await;
    }

    /// The next answer, without its length.
    pub(crate) async fn answer(&mut self) -> Vec<u8> {
        within(async {
            let length = self.0.read_u32().await.unwrap();
            let mut body = vec![0; length as usize];
            self.0.read_exact(&mut body).await.unwrap();
            body
        })
        .await
    }

    pub(crate) async fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well: it is what a close does to bytes that nobody read.
        let end = within(self.0.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "unexpected answer {rest:?}, then {end:?}");
    }

    pub(crate) async fn assert_open(&mut self) {
        self.request(b"=alive").await;
        assert_eq!(self.answer().await, b"=alive");
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// Waits until `condition` holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
