//! A broker inside a Rust program, as in a test: in memory, on a free port, gone when it is stopped.
//!
//! ```sh
//! cargo run --example embedded
//! ```

use std::error::Error;

use kafka_protocol::messages::MetadataRequest;
use klamm::config::Config;
use klamm::network::channel::Channel;
use klamm::server::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::with(&[
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("klamm.storage.kind", "memory"),
        ("klamm.create.topics", "payments:3:1"),
    ])?;
    let server = Server::start(config).await?;
    let (_, address) = server.listeners().into_iter().next().ok_or("a broker has a listener")?;

    // Any Kafka client goes here; it connects to `address`.
    let mut client = Channel::connect(address, "embedded").await?;
    let metadata = client.call(&MetadataRequest::default().with_topics(None)).await?;
    for topic in metadata.topics {
        let name = topic.name.map_or_else(String::new, |name| name.to_string());
        println!("{name} has {} partitions at {address}", topic.partitions.len());
    }

    server.stop().await;
    Ok(())
}
