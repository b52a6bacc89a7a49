//! The quorum over TCP: one connection to each other voter, made again whenever it breaks.
//!
//! A message is a Kafka frame, so that the listener that takes it serves Kafka's APIs, too: size, API key, version,
//! correlation id, client id, and the message; back come size, correlation id, whether it was answered or refused, and the
//! answer or the reason. Requests are pipelined. A node that is not there refuses at once; whoever asks never waits for a
//! connection to be made again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::Hello;
use super::encoding::invalid;
use super::network::Transport;
use crate::clock::Clock;
use crate::config::QuorumVoter;
use crate::ids::NodeId;

/// The API key of the quorum's messages. Kafka's keys are far below.
pub(super) const RAFT_KEY: i16 = 10_001;

/// The API key of greetings.
pub(super) const HELLO_KEY: i16 = 10_002;

/// The longest message: a snapshot, or [`super::MAX_ENTRIES_IN_A_MESSAGE`] entries.
pub(super) const MAX_MESSAGE: usize = 100 * 1024 * 1024;

/// The longest greeting, and the longest answer.
pub(super) const MAX_SMALL_MESSAGE: usize = 256 * 1024;

/// What an answer begins with.
pub(super) const ANSWERED: u8 = 0;
/// What a refusal begins with.
pub(super) const REFUSED: u8 = 1;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a message may take to leave; a snapshot is large.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the other node's system may say nothing to bytes that were sent to it.
#[cfg(target_os = "linux")]
const SILENCE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long is waited before a connection is made again: so long at first, and twice as long each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Messages that may wait to leave, and those whose answers may be owed, for each node.
const MOST_QUEUED: usize = 256;
const MOST_OWED: usize = 1_024;

/// Carries messages to the other voters.
#[derive(Debug)]
pub struct TcpTransport {
    links: BTreeMap<NodeId, mpsc::Sender<Outgoing>>,
    reached: watch::Receiver<BTreeSet<NodeId>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// A message on its way out.
#[derive(Debug)]
struct Outgoing {
    api_key: i16,
    body: Bytes,
    answer: oneshot::Sender<io::Result<Bytes>>,
}

impl TcpTransport {
    /// Begins to connect to all `voters` but `me`. Within a runtime.
    pub fn start(me: NodeId, voters: &[QuorumVoter], clock: &Clock) -> Arc<Self> {
        let (told, reached) = watch::channel(BTreeSet::new());
        let told = Arc::new(told);
        let (mut links, mut tasks) = (BTreeMap::new(), Vec::new());
        for voter in voters.iter().filter(|voter| voter.id != me) {
            let (calls, waiting) = mpsc::channel(MOST_QUEUED);
            links.insert(voter.id, calls);
            let link = Link {
                to: voter.clone(),
                client_id: format!("klamm-{me}"),
                calls: waiting,
                reached: Arc::clone(&told),
                clock: clock.clone(),
                next_correlation_id: 0,
            };
            tasks.push(tokio::spawn(link.run()));
        }
        Arc::new(Self { links, reached, tasks: Mutex::new(tasks) })
    }

    /// Ends all connections; nobody is reached from here on.
    pub async fn stop(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
            // It ends as cancelled, which is no news.
            drop(task.await);
        }
    }

    /// The voters that have no connection at this moment.
    pub fn missing(&self) -> BTreeSet<NodeId> {
        let reached = self.reached.borrow();
        self.links.keys().copied().filter(|id| !reached.contains(id)).collect()
    }

    /// The voters that have a connection, as they come and go.
    pub(super) fn connected(&self) -> watch::Receiver<BTreeSet<NodeId>> {
        self.reached.clone()
    }

    /// What the node `to` says of itself.
    pub(super) async fn hello(&self, to: NodeId, own: &Hello) -> io::Result<Hello> {
        Hello::decode(&self.ask(to, HELLO_KEY, own.encode()).await?)
    }

    fn ask(&self, to: NodeId, api_key: i16, body: Bytes) -> impl Future<Output = io::Result<Bytes>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let sent = match self.links.get(&to) {
            Some(link) => link
                .try_send(Outgoing { api_key, body, answer })
                .map_err(|_| io::Error::new(io::ErrorKind::WouldBlock, "too many messages wait for the node")),
            None => Err(refused("the node is none of the voters")),
        };
        async move {
            sent?;
            answered.await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))?
        }
    }
}

/// Whoever drops it without having stopped it ends its tasks, without awaiting them.
impl Drop for TcpTransport {
    fn drop(&mut self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            task.abort();
        }
    }
}

impl Transport for TcpTransport {
    fn call(&self, to: NodeId, request: Bytes) -> BoxFuture<'static, io::Result<Bytes>> {
        Box::pin(self.ask(to, RAFT_KEY, request))
    }

    fn reached(&self) -> Option<watch::Receiver<BTreeSet<NodeId>>> {
        Some(self.connected())
    }
}

/// The way to one node.
struct Link {
    to: QuorumVoter,
    client_id: String,
    calls: mpsc::Receiver<Outgoing>,
    reached: Arc<watch::Sender<BTreeSet<NodeId>>>,
    clock: Clock,
    next_correlation_id: i32,
}

impl Link {
    /// Keeps a connection until nobody can ask any more.
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.connect().await {
                Ok(stream) => {
                    pause = FIRST_PAUSE;
                    tracing::info!("connected to controller {}", self.to);
                    self.note(true);
                    let ended = self.converse(stream).await;
                    self.note(false);
                    let Err(error) = ended else { return };
                    tracing::info!("lost the connection to controller {}: {error}", self.to);
                }
                Err(error) => tracing::trace!(node = self.to.id, %error, "a voter is not reached"),
            }
            if !self.refuse_for(pause).await {
                return;
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    fn note(&self, is_reached: bool) {
        self.reached.send_modify(|reached| {
            if is_reached {
                reached.insert(self.to.id);
            } else {
                reached.remove(&self.to.id);
            }
        });
    }

    async fn connect(&mut self) -> io::Result<TcpStream> {
        let connecting = TcpStream::connect((self.to.host.as_str(), self.to.port));
        let stream = self.clock.timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        // What a broken network has swallowed would otherwise be sent again for a quarter of an hour.
        #[cfg(target_os = "linux")]
        rustix::net::sockopt::set_tcp_user_timeout(
            &stream,
            u32::try_from(SILENCE_TIMEOUT.as_millis()).unwrap_or(u32::MAX),
        )?;
        Ok(stream)
    }

    /// Refuses what is asked for `pause`; `false` where nobody can ask any more.
    async fn refuse_for(&mut self, pause: Duration) -> bool {
        let mut paused = self.clock.sleep(pause);
        loop {
            tokio::select! {
                () = &mut paused => return true,
                call = self.calls.recv() => match call {
                    // Who has given up does not hear it.
                    Some(call) => drop(call.answer.send(Err(refused("no connection to the node")))),
                    None => return false,
                },
            }
        }
    }

    /// Sends and receives until the connection breaks, or nobody can ask any more.
    async fn converse(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let (mut reader, mut writer) = stream.split();
        let (mut owed, mut input) = (HashMap::new(), BytesMut::new());
        loop {
            tokio::select! {
                call = self.calls.recv() => {
                    let Some(call) = call else { return Ok(()) };
                    let Some(frame) = self.register(call, &mut owed) else { continue };
                    let written = self.clock.timeout(WRITE_TIMEOUT, writer.write_all(&frame)).await;
                    written.map_err(|_| io::ErrorKind::TimedOut)??;
                }
                read = reader.read_buf(&mut input) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    while let Some(answer) = take_frame(&mut input)? {
                        deliver(answer, &mut owed)?;
                    }
                }
            }
        }
    }

    /// Notes who waits for the answer; the frame to send, if there is room for one more.
    fn register(
        &mut self,
        Outgoing { api_key, body, answer }: Outgoing,
        owed: &mut HashMap<i32, oneshot::Sender<io::Result<Bytes>>>,
    ) -> Option<Vec<u8>> {
        if owed.len() >= MOST_OWED {
            owed.retain(|_, waiting| !waiting.is_closed());
        }
        let length = 10 + self.client_id.len() + body.len();
        let (Ok(size), true) = (i32::try_from(length), owed.len() < MOST_OWED && length <= MAX_MESSAGE) else {
            // Who has given up does not hear it.
            drop(answer.send(Err(io::Error::new(io::ErrorKind::WouldBlock, "too much is sent to the node"))));
            return None;
        };
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = correlation_id.wrapping_add(1);
        owed.insert(correlation_id, answer);
        let mut frame = Vec::with_capacity(4 + length);
        frame.put_i32(size);
        put_request(api_key, correlation_id, &self.client_id, &body, &mut frame);
        Some(frame)
    }
}

/// A request as it follows on its size.
fn put_request(api_key: i16, correlation_id: i32, client_id: &str, body: &[u8], frame: &mut Vec<u8>) {
    frame.put_i16(api_key);
    frame.put_i16(0);
    frame.put_i32(correlation_id);
    frame.put_i16(i16::try_from(client_id.len()).unwrap_or(0));
    frame.put_slice(client_id.as_bytes());
    frame.put_slice(body);
}

/// Greets the node at the other end of a fresh connection; what it says of itself.
pub(super) async fn greet(stream: &mut TcpStream, own: &Hello) -> io::Result<Hello> {
    let mut frame = vec![0; 4];
    put_request(HELLO_KEY, 0, "klamm-probe", &own.encode(), &mut frame);
    let size = i32::try_from(frame.len() - 4).unwrap_or(i32::MAX);
    frame[..4].copy_from_slice(&size.to_be_bytes());
    stream.write_all(&frame).await?;
    let mut input = BytesMut::new();
    let mut answer = loop {
        if let Some(answer) = take_frame(&mut input)? {
            break answer;
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let (_, outcome) = (answer.try_get_i32()?, answer.try_get_u8()?);
    if outcome == ANSWERED { Hello::decode(&answer) } else { Err(refused(&String::from_utf8_lossy(&answer))) }
}

/// Takes a whole frame, without its size, from the front of what has arrived.
fn take_frame(input: &mut BytesMut) -> io::Result<Option<Bytes>> {
    let Some(size) = input.first_chunk::<4>() else { return Ok(None) };
    let size = usize::try_from(i32::from_be_bytes(*size)).unwrap_or(usize::MAX);
    if size > MAX_SMALL_MESSAGE {
        return Err(invalid(format!("an answer of {size} bytes")));
    }
    if input.len() < 4 + size {
        return Ok(None);
    }
    input.advance(4);
    Ok(Some(input.split_to(size).freeze()))
}

/// Gives an answer to whoever waits for it.
fn deliver(mut answer: Bytes, owed: &mut HashMap<i32, oneshot::Sender<io::Result<Bytes>>>) -> io::Result<()> {
    let (correlation_id, outcome) = (answer.try_get_i32()?, answer.try_get_u8()?);
    let Some(waiting) = owed.remove(&correlation_id) else { return Err(invalid("an answer that nobody waits for")) };
    let outcome = if outcome == ANSWERED { Ok(answer) } else { Err(refused(&String::from_utf8_lossy(&answer))) };
    // Who has given up does not hear it.
    drop(waiting.send(outcome));
    Ok(())
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole_and_too_long_ones_not_at_all() {
        let mut input = BytesMut::from(&[0, 0, 0, 2, 7][..]);
        assert!(take_frame(&mut input).unwrap().is_none());
        input.put_slice(&[8, 0, 0]);
        assert_eq!(take_frame(&mut input).unwrap().unwrap(), Bytes::from_static(&[7, 8]));
        assert_eq!(input.len(), 2);
        for size in [-1_i32, i32::MAX, 256 * 1024 + 1] {
            assert!(take_frame(&mut BytesMut::from(&size.to_be_bytes()[..])).is_err(), "{size}");
        }
    }

    #[test]
    fn an_answer_goes_to_whoever_waits_for_it() {
        let (mut owed, mut answers) = (HashMap::new(), Vec::new());
        for id in 0..2 {
            let (sender, receiver) = oneshot::channel();
            owed.insert(id, sender);
            answers.push(receiver);
        }
        deliver(Bytes::from_static(&[0, 0, 0, 1, ANSWERED, 9]), &mut owed).unwrap();
        assert_eq!(answers.pop().unwrap().try_recv().unwrap().unwrap(), Bytes::from_static(&[9]));
        deliver(Bytes::from_static(b"\0\0\0\0\x01why"), &mut owed).unwrap();
        let error = answers.pop().unwrap().try_recv().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::ConnectionRefused, "why".to_owned()));
        assert!(deliver(Bytes::from_static(&[0, 0, 0, 1, 0]), &mut owed).is_err());
        assert!(deliver(Bytes::from_static(&[0, 0]), &mut owed).is_err());
    }
}
