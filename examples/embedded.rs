//! A broker inside a Rust program, as in a test: in memory, on a free port, gone when it is stopped.
//!
//! ```sh
//! cargo run --example embedded
//! ```

use std::error::Error;
use std::time::Duration;

use klamm::client::{ClientSettings, ClusterClient, bootstrap_addresses};
use klamm::config::Config;
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

    // Any Kafka client goes here; it connects to `address`. This is the one that the command line uses.
    let mut client = ClusterClient::connect(ClientSettings {
        bootstrap: bootstrap_addresses(&address.to_string())?,
        client_id: "embedded".to_owned(),
        request_timeout: Duration::from_secs(5),
        api_timeout: Duration::from_secs(5),
    })
    .await?;
    for topic in client.all_topics().await? {
        println!("{} has {} partitions at {address}", topic.name, topic.partitions.len());
    }

    server.stop().await?;
    Ok(())
}
