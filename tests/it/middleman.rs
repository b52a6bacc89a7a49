//! Somebody between a client and a broker who spoils an answer: what networks and strange brokers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of an answer, which begins behind its length: `None` closes the connection instead.
pub(crate) type Spoil = fn(Vec<u8>) -> Option<Vec<u8>>;

/// Passes requests and answers on, but for the first `times` answers to one API.
pub(crate) struct Middleman {
    pub(crate) port: u16,
    listener: TcpListener,
}

impl Middleman {
    /// Its port is known before there is a broker, which has to advertise it.
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { port: listener.local_addr().unwrap().port(), listener }
    }

    /// Begins to pass on. The count is of the answers that were spoiled.
    pub(crate) fn start(self, broker: u16, api_key: i16, times: usize, spoil: Spoil) -> Arc<AtomicUsize> {
        let spoiled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&spoiled);
        tokio::spawn(async move {
            while let Ok((client, _)) = self.listener.accept().await {
                let broker = TcpStream::connect(("127.0.0.1", broker)).await.unwrap();
                tokio::spawn(pass(client, broker, api_key, times, spoil, Arc::clone(&count)));
            }
        });
        spoiled
    }
}

/// One request and its answer after the other, until either side has enough.
async fn pass(
    mut client: TcpStream,
    mut broker: TcpStream,
    api_key: i16,
    times: usize,
    spoil: Spoil,
    spoiled: Arc<AtomicUsize>,
) -> Option<()> {
    loop {
        let request = read_frame(&mut client).await?;
        write_frame(&mut broker, &request).await?;
        let mut answer = read_frame(&mut broker).await?;
        if request[..2] == api_key.to_be_bytes() && spoiled.load(Ordering::SeqCst) < times {
            spoiled.fetch_add(1, Ordering::SeqCst);
            answer = spoil(answer)?;
        }
        write_frame(&mut client, &answer).await?;
    }
}

async fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

async fn write_frame(stream: &mut TcpStream, frame: &[u8]) -> Option<()> {
    let whole = [&(frame.len() as u32).to_be_bytes(), frame].concat();
    stream.write_all(&whole).await.ok()
}
