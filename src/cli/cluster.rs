//! `klamm cluster`: which cluster this is, its brokers and controllers, and whether its partitions are whole.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Failure;
use super::cluster_config;
use super::connection::ConnectionArguments;
use super::output::{OutputArguments, OutputFormat, Rows, print_document};
use super::print::print;
use crate::client::{BrokerDescription, ClusterClient, ClusterDescription, QuorumDescription, TopicDescription};

/// Print the cluster's id and brokers, and print or change the configs of brokers.
#[derive(Debug, Args)]
pub(super) struct ClusterArguments {
    #[command(subcommand)]
    command: ClusterCommand,
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Print the cluster's id, its brokers and controllers, and how many partitions lack replicas or a leader.
    Info,
    /// Print the configs of brokers, or change them while they run.
    Config(cluster_config::ClusterConfigArguments),
}

pub(super) fn run(arguments: &ClusterArguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        ClusterCommand::Config(config) => {
            cluster_config::run(config, &arguments.connection, arguments.output.output)?;
        }
        ClusterCommand::Info => {
            let cluster = arguments.connection.run(async |client| ClusterOverview::ask(client).await)?;
            cluster.print(arguments.output.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A cluster, its controllers, and how its partitions stand.
struct ClusterOverview {
    cluster: ClusterDescription,
    fenced: Vec<BrokerDescription>,
    /// `None` where the brokers tell nothing of it.
    quorum: Option<QuorumDescription>,
    topics: Vec<TopicDescription>,
}

impl ClusterOverview {
    async fn ask(client: &mut ClusterClient) -> Result<Self, Failure> {
        let cluster = client.describe_cluster().await?;
        // Brokers before Kafka 4.0 do not tell which others are fenced, and very old ones nothing of a quorum.
        let all = client.brokers_and_fences(true).await.unwrap_or_default();
        let fenced = all.into_iter().filter(|(_, is_fenced)| *is_fenced).map(|(broker, _)| broker).collect();
        let quorum = match client.describe_quorum().await {
            Err(error) if !error.is_unserved() => return Err(error.into()),
            quorum => quorum.ok(),
        };
        Ok(Self { cluster, fenced, quorum, topics: client.all_topics().await? })
    }

    fn print(&self, format: OutputFormat) -> Result<(), Failure> {
        if format != OutputFormat::Table {
            return print_document(&self.document(), format);
        }
        print(&format!("Cluster {}\n", self.cluster.id));
        self.brokers().print(format)?;
        if self.quorum.is_some() {
            print("\n");
            self.voters().print(format)?;
        }
        print("\n");
        self.partitions().print(format)
    }

    fn document(&self) -> Value {
        let partitions = self.partitions().objects();
        json!({
            "cluster": self.cluster.id,
            "brokers": self.brokers().objects(),
            "voters": self.voters().objects(),
            "partitions": partitions.get(0),
        })
    }

    fn brokers(&self) -> Rows {
        let mut rows = Rows::new(&["broker", "host", "port", "rack", "state", "controller"]);
        // The quorum knows better than a broker to which requests for the controller go.
        let controller = self.quorum.as_ref().map(|quorum| quorum.leader).or(self.cluster.controller);
        let serving = self.cluster.brokers.iter().map(|broker| (broker, "serves"));
        let mut brokers: Vec<_> = serving.chain(self.fenced.iter().map(|broker| (broker, "fenced"))).collect();
        brokers.sort_by_key(|(broker, _)| broker.id);
        for (broker, state) in brokers {
            rows.push([
                broker.id.into(),
                broker.host.clone().into(),
                broker.port.into(),
                broker.rack.clone().into(),
                state.into(),
                (controller == Some(broker.id)).into(),
            ]);
        }
        rows
    }

    fn voters(&self) -> Rows {
        let mut rows = Rows::new(&["voter", "leader", "epoch", "log end", "lag"]);
        if let Some(quorum) = &self.quorum {
            for (voter, log_end) in &quorum.voters {
                rows.push([
                    (*voter).into(),
                    (*voter == quorum.leader).into(),
                    quorum.leader_epoch.into(),
                    (*log_end).into(),
                    quorum.lag(*voter).into(),
                ]);
            }
        }
        rows
    }

    /// How many there are, and how many of them lack something.
    fn partitions(&self) -> Rows {
        let mut rows = Rows::new(&["topics", "partitions", "under replicated", "offline"]);
        let all = || self.topics.iter().flat_map(|topic| &topic.partitions);
        let lagging = all().filter(|partition| partition.isr.len() < partition.replicas.len()).count();
        let leaderless = all().filter(|partition| partition.leader.is_none()).count();
        rows.push([self.topics.len().into(), all().count().into(), lagging.into(), leaderless.into()]);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::PartitionDescription;
    use crate::ids::Uuid;

    fn broker(id: i32) -> BrokerDescription {
        BrokerDescription { id, host: "h".to_owned(), port: 1, rack: (id == 1).then(|| "r".to_owned()) }
    }

    #[test]
    fn a_cluster_that_has_lost_a_broker_shows_it() {
        let partition = |leader, isr: &[i32]| PartitionDescription {
            index: 0,
            leader,
            leader_epoch: 0,
            replicas: vec![1, 2, 3],
            isr: isr.to_vec(),
            eligible_leaders: None,
            last_known_eligible_leaders: None,
        };
        let partitions = vec![partition(Some(1), &[1, 2, 3]), partition(Some(1), &[1]), partition(None, &[3])];
        let topic = TopicDescription { name: "t".into(), id: Uuid::nil(), is_internal: false, partitions };
        let voters = vec![(1, Some(9)), (2, Some(10)), (3, None)];
        let view = ClusterOverview {
            cluster: ClusterDescription {
                id: "c".to_owned(),
                controller: Some(1),
                brokers: vec![broker(1), broker(2)],
            },
            fenced: vec![broker(3)],
            quorum: Some(QuorumDescription { leader: 2, leader_epoch: 4, voters }),
            topics: vec![topic],
        };
        let told = view.document();
        assert_eq!(told["brokers"][0]["rack"], "r");
        assert_eq!((&told["brokers"][1]["controller"], &told["brokers"][2]["state"]), (&true.into(), &"fenced".into()));
        assert_eq!((&told["voters"][0]["lag"], &told["voters"][2]["lag"]), (&1.into(), &Value::Null));
        assert_eq!(told["partitions"], json!({"topics": 1, "partitions": 3, "under_replicated": 2, "offline": 1}));
    }
}
