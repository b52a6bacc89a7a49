//! `--list`.

use super::super::super::print::print;
use super::options::ConsumerGroupOptions;
use super::{GroupFailure, groups_of_consumers};
use crate::client::{ClusterClient, GroupListing};

/// The states of groups of consumers, in the order in which Kafka's tool lists them.
const STATES: [&str; 7] =
    ["CompletingRebalance", "Reconciling", "Assigning", "Empty", "PreparingRebalance", "Stable", "Dead"];
const TYPES: [&str; 2] = ["Consumer", "Classic"];

pub(super) async fn run(client: &mut ClusterClient, options: &ConsumerGroupOptions) -> Result<(), GroupFailure> {
    if options.state.is_none() && options.group_type.is_none() {
        let groups = groups_of_consumers(client).await?;
        print(&groups.into_iter().map(|group| group + "\n").collect::<String>());
        return Ok(());
    }
    let types = known(options.group_type.as_deref(), &TYPES).map_err(|(input, valid)| {
        GroupFailure::Usage(format!("Invalid types list '{input}'. Valid types are: {valid}"))
    })?;
    let states = known(options.state.as_deref(), &STATES).map_err(|(input, valid)| {
        GroupFailure::Usage(format!("Invalid state list '{input}'. Valid states are: {valid}"))
    })?;
    let listed = client.list_groups(&states, &types).await.map_err(|error| GroupFailure::caused(&error))?;
    let groups: Vec<_> = listed.into_iter().filter(GroupListing::is_of_consumers).collect();
    print(&table(&groups, options.group_type.is_some(), options.state.is_some()));
    Ok(())
}

/// The words of a list by commas, as they are spelled in `all`; otherwise the list, and all words.
fn known<'a>(list: Option<&str>, all: &[&'a str]) -> Result<Vec<&'a str>, (String, String)> {
    let list = list.unwrap_or_default();
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let spelled = |word: &str| all.iter().find(|known| known.eq_ignore_ascii_case(word.trim())).copied();
    let words: Option<Vec<_>> = list.split(',').map(spelled).collect();
    words.ok_or_else(|| (list.to_owned(), all.join(", ")))
}

fn table(groups: &[GroupListing], has_type: bool, has_state: bool) -> String {
    let widest = groups.iter().map(|group| group.group_id.chars().count().max(15)).max().unwrap_or(15) + 10;
    let row = |group: &str, kind: &str, state: &str| {
        let kind = if has_type { format!(" {kind:20}") } else { String::new() };
        let state = if has_state { format!(" {state:20}") } else { String::new() };
        format!("{group:widest$}{kind}{state}\n")
    };
    let mut text = row("GROUP", "TYPE", "STATE");
    for group in groups {
        let kind = group.group_type.as_deref().map_or("Unknown", type_name);
        text += &row(&group.group_id, kind, group.state.as_deref().unwrap_or("Unknown"));
    }
    text
}

/// A type as Java shows it.
pub(in super::super) fn type_name(told: &str) -> &str {
    let all = ["Unknown", "Consumer", "Classic", "Share", "Streams"];
    all.into_iter().find(|known| known.eq_ignore_ascii_case(told)).unwrap_or("Unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_the_columns_that_are_asked_for() {
        let group = GroupListing {
            group_id: "readers".to_owned(),
            protocol_type: "consumer".to_owned(),
            state: Some("Stable".to_owned()),
            group_type: Some("classic".to_owned()),
        };
        let text = table(&[group], true, true);
        let expected = format!("{:25} {:20} {:20}\n", "GROUP", "TYPE", "STATE");
        assert_eq!(text, expected + &format!("{:25} {:20} {:20}\n", "readers", "Classic", "Stable"));
        assert_eq!(table(&[], false, true), format!("{:25} {:20}\n", "GROUP", "STATE"));
    }

    #[test]
    fn a_word_is_known_in_any_case() {
        assert_eq!(known(Some("stable, EMPTY"), &STATES), Ok(vec!["Stable", "Empty"]));
        assert_eq!(known(None, &STATES), Ok(vec![]));
        assert_eq!(known(Some("x"), &TYPES), Err(("x".to_owned(), "Consumer, Classic".to_owned())));
    }
}
