//! `klamm group describe`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::super::Failure;
use super::super::connection::ConnectionArguments;
use super::super::output::{OutputFormat, Rows, print_document};
use super::super::print::print;
use super::failure;
use crate::client::{ClientError, ClusterClient, GroupDescription, GroupMember, GroupPartition};

#[derive(Debug, Args)]
pub(super) struct DescribeGroupsArguments {
    /// The groups.
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
}

/// A group and how far it is.
struct Described {
    group: GroupDescription,
    partitions: Vec<GroupPartition>,
}

pub(super) fn run(
    arguments: &DescribeGroupsArguments,
    connection: &ConnectionArguments,
    output: OutputFormat,
) -> Result<ExitCode, Failure> {
    let (described, failures) = connection.run(async |client| {
        let (mut described, mut failures) = (Vec::new(), Vec::new());
        for group_id in &arguments.groups {
            match describe(client, group_id).await {
                Ok(one) => described.push(one),
                Err(error) => failures.push(failure(client, group_id, error).await),
            }
        }
        Ok((described, failures))
    })?;
    match output {
        OutputFormat::Table => {
            for (place, one) in described.iter().enumerate() {
                print(if place > 0 { "\n" } else { "" });
                print(&one.summary());
                one.rows().print(output)?;
            }
        }
        OutputFormat::Json | OutputFormat::Yaml => {
            print_document(&described.iter().map(Described::document).collect(), output)?;
        }
    }
    for failure in &failures {
        eprintln!("{failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn describe(client: &mut ClusterClient, group_id: &str) -> Result<Described, ClientError> {
    let group = client.describe_group(group_id).await?;
    let partitions = client.group_partitions(&group).await?;
    Ok(Described { group, partitions })
}

impl Described {
    fn total_lag(&self) -> i64 {
        self.partitions.iter().filter_map(GroupPartition::lag).sum()
    }

    /// What holds for the whole group, a line each.
    fn summary(&self) -> String {
        let group = &self.group;
        let protocol = [group.protocol_type.as_str(), group.assignor.as_str()].join(" ");
        let protocol = if protocol.trim().is_empty() { "-" } else { protocol.trim() };
        let lines = [
            ("GROUP", group.group_id.clone()),
            ("STATE", group.state.clone()),
            ("COORDINATOR", format!("{} (broker {})", group.coordinator_address, group.coordinator)),
            ("PROTOCOL", protocol.to_owned()),
            ("MEMBERS", group.members.len().to_string()),
            ("TOTAL LAG", self.total_lag().to_string()),
        ];
        let lines = lines.map(|(name, value)| format!("{name:<13}{value}\n"));
        lines.concat() + "\n"
    }

    /// A row for each partition, and one for each member that has none.
    fn rows(&self) -> Rows {
        let mut rows =
            Rows::new(&["topic", "partition", "current offset", "log end offset", "lag", "member", "client", "host"]);
        for one in &self.partitions {
            let committed = one.committed.as_ref().map(|committed| committed.offset);
            let member = one.member.and_then(|member| self.group.members.get(member));
            let (partition, lag) = (&one.partition, one.lag());
            let [id, client, host] = names(member);
            let topic = partition.topic.as_ref().into();
            rows.push([
                topic,
                partition.partition.into(),
                committed.into(),
                one.end.into(),
                lag.into(),
                id,
                client,
                host,
            ]);
        }
        for idle in self.group.members.iter().filter(|member| member.assignment.is_empty()) {
            let [id, client, host] = names(Some(idle));
            rows.push([Value::Null, Value::Null, Value::Null, Value::Null, Value::Null, id, client, host]);
        }
        rows
    }

    /// All of it, for programs.
    fn document(&self) -> Value {
        let group = &self.group;
        let member = |member: &GroupMember| {
            json!({
                "member": member.member_id,
                "instance": member.instance_id,
                "client": member.client_id,
                "host": member.host,
                "partitions": member.assignment.len(),
            })
        };
        json!({
            "group": group.group_id,
            "state": group.state,
            "coordinator": group.coordinator,
            "coordinator_address": group.coordinator_address.to_string(),
            "protocol_type": group.protocol_type,
            "assignor": group.assignor,
            "total_lag": self.total_lag(),
            "members": group.members.iter().map(member).collect::<Value>(),
            "partitions": self.partitions.iter().map(|one| self.partition(one)).collect::<Value>(),
        })
    }

    fn partition(&self, one: &GroupPartition) -> Value {
        let member = one.member.and_then(|member| self.group.members.get(member));
        json!({
            "topic": one.partition.topic.as_ref(),
            "partition": one.partition.partition,
            "current_offset": one.committed.as_ref().map(|committed| committed.offset),
            "log_end_offset": one.end,
            "lag": one.lag(),
            "member": member.map(|member| &member.member_id),
        })
    }
}

fn names(member: Option<&GroupMember>) -> [Value; 3] {
    let Some(member) = member else { return [Value::Null, Value::Null, Value::Null] };
    // Java brokers write an address as Java does, with an empty name before it.
    let host = member.host.trim_start_matches('/');
    [member.member_id.as_str().into(), member.client_id.as_str().into(), host.into()]
}
