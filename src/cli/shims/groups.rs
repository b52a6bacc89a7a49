//! `kafka-groups` (`org.apache.kafka.tools.GroupsCommand`).

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use super::super::print::print;
use super::arguments::{Complaints, failed, parse_with, usage};
use super::asking::Asking;
use super::consumer_groups::type_name;
use crate::client::GroupListing;

/// This tool helps to list groups of all types.
#[derive(Debug, Default, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Kafka's tool")]
struct GroupsOptions {
    /// REQUIRED: The Kafka server to connect to.
    #[arg(long, value_name = "String: server to connect to")]
    bootstrap_server: Option<String>,
    /// A file of properties for the client.
    #[arg(long, value_name = "String: command config property file")]
    command_config: Option<String>,
    /// List the groups.
    #[arg(long)]
    list: bool,
    /// Only groups of this type: 'classic', 'consumer', 'share' or 'streams'.
    #[arg(long, value_name = "String: type")]
    group_type: Option<String>,
    /// Only groups of this protocol type.
    #[arg(long, value_name = "String: protocol")]
    protocol: Option<String>,
    /// Only groups of consumers, whichever protocol they speak.
    #[arg(long)]
    consumer: bool,
    /// Only share groups.
    #[arg(long)]
    share: bool,
    /// Only groups of Kafka Streams.
    #[arg(long)]
    streams: bool,
}

const COMPLAINTS: Complaints = Complaints { with_usage: true, unknown_option: "", wrong_value: "" };

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let options: GroupsOptions = match parse_with("kafka-groups", arguments, COMPLAINTS) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let Some(bootstrap) = &options.bootstrap_server else {
        return usage::<GroupsOptions>("Missing required option(s) [bootstrap-server]");
    };
    if !options.list {
        return usage::<GroupsOptions>("Command must include exactly one action: --list.");
    }
    if options.group_type.as_deref().is_some_and(|wanted| type_name(wanted) == "Unknown") {
        return failed("--group-type must be a valid group type.");
    }
    if let Some((one, other)) = options.clash() {
        return usage::<GroupsOptions>(&format!("Option \"[{one}]\" can't be used with option \"[{other}]\""));
    }
    let properties_file = options.command_config.as_deref();
    let asking = Asking { bootstrap, properties_file, client_id: "admin-1", waits: true };
    match asking.run(async |client| Ok(client.list_groups(&[], &[]).await?)) {
        Ok(groups) => {
            let groups: Vec<_> = groups.into_iter().filter(|group| options.passes(group)).collect();
            print(&table(&groups));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            print(&format!("Error while executing groups command : {failure}\n"));
            ExitCode::FAILURE
        }
    }
}

impl GroupsOptions {
    /// Two options that do not go together.
    fn clash(&self) -> Option<(&'static str, &'static str)> {
        let alone = [("consumer", self.consumer), ("share", self.share), ("streams", self.streams)];
        let (one, _) = alone.into_iter().find(|(_, is_given)| *is_given)?;
        let others = [("group-type", self.group_type.is_some()), ("protocol", self.protocol.is_some())];
        let mut others = alone.into_iter().filter(|(name, _)| *name != one).chain(others);
        others.find(|(_, is_given)| *is_given).map(|(other, _)| (one, other))
    }

    fn passes(&self, group: &GroupListing) -> bool {
        let kind = group.group_type.as_deref().map_or("", type_name);
        let has_protocol = self.protocol.as_ref().is_none_or(|wanted| *wanted == group.protocol_type);
        if let Some(wanted) = &self.group_type {
            return kind == type_name(wanted) && has_protocol;
        }
        if self.protocol.is_some() {
            return has_protocol;
        }
        !(self.consumer || self.share || self.streams)
            || (self.consumer && (group.is_of_consumers() || kind == "Consumer"))
            || (self.share && kind == "Share")
            || (self.streams && kind == "Streams")
    }
}

fn table(groups: &[GroupListing]) -> String {
    let rows: Vec<_> = groups
        .iter()
        .map(|group| (group.group_id.as_str(), group.group_type.as_deref().map_or("", type_name), &group.protocol_type))
        .collect();
    let widest =
        rows.iter().map(|(id, kind, protocol)| id.len().max(kind.len()).max(protocol.len())).fold(20, usize::max);
    let header = format!("{:widest$} {:widest$} {:widest$}\n", "GROUP", "TYPE", "PROTOCOL");
    rows.iter()
        .fold(header, |text, (id, kind, protocol)| text + &format!("{id:widest$} {kind:widest$} {protocol:widest$} \n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: &str, protocol_type: &str, group_type: &str) -> GroupListing {
        GroupListing {
            group_id: id.to_owned(),
            protocol_type: protocol_type.to_owned(),
            state: None,
            group_type: Some(group_type.to_owned()),
        }
    }

    fn passing(options: &GroupsOptions) -> Vec<&'static str> {
        let groups = [
            ("old", "consumer", "classic"),
            ("simple", "", "classic"),
            ("connect", "connect", "classic"),
            ("share", "share", "share"),
        ];
        groups
            .into_iter()
            .filter(|(id, protocol, kind)| options.passes(&group(id, protocol, kind)))
            .map(|(id, ..)| id)
            .collect()
    }

    #[test]
    fn groups_pass_the_filter_that_is_given() {
        assert_eq!(passing(&GroupsOptions::default()).len(), 4);
        assert_eq!(passing(&GroupsOptions { consumer: true, ..Default::default() }), ["old", "simple"]);
        assert_eq!(passing(&GroupsOptions { share: true, ..Default::default() }), ["share"]);
        let protocol = Some("connect".to_owned());
        assert_eq!(passing(&GroupsOptions { protocol, ..Default::default() }), ["connect"]);
        let group_type = Some("Classic".to_owned());
        assert_eq!(passing(&GroupsOptions { group_type, ..Default::default() }), ["old", "simple", "connect"]);
    }

    #[test]
    fn a_filter_of_kinds_stands_alone() {
        let options = GroupsOptions { consumer: true, protocol: Some("x".to_owned()), ..Default::default() };
        assert_eq!(options.clash(), Some(("consumer", "protocol")));
        assert_eq!(GroupsOptions { consumer: true, ..Default::default() }.clash(), None);
    }
}
