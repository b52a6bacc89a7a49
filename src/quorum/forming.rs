//! Who founds a quorum, and who joins it: decided by each node from what all of them say. Pure.
//!
//! The lowest id founds, once all voters have answered and all of them are empty: with a majority, two nodes that have lost
//! their disks would found a second cluster beside the data of the third. Whoever meets a node that knows it by its own
//! directory joins.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::hello::Hello;
use crate::ids::{NodeId, Uuid};

/// What a node without a log is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing yet: these have not answered. Where none is missing, the founder has not founded yet.
    Wait(Vec<NodeId>),
    /// Found the quorum of these voters, of that cluster, if one was asked for.
    Found(Option<Arc<str>>, BTreeMap<NodeId, Uuid>),
    /// Wait for the log of this cluster.
    Join(Arc<str>),
    /// Nothing until somebody has looked at this.
    Refuse(Vec<String>),
}

/// Decides from what a node without a log says itself, `own`, and from what each voter that has answered says. `voters` are
/// all of them, this node included.
pub(super) fn decide(own: &Hello, voters: &[NodeId], heard: &BTreeMap<NodeId, Hello>) -> Decision {
    let complaints: Vec<_> = heard.iter().flat_map(|(id, hello)| complaints(own, *id, hello)).collect();
    if !complaints.is_empty() {
        return Decision::Refuse(complaints);
    }
    let mut told = heard.iter().filter_map(|(id, hello)| Some((*id, hello.cluster_id.as_ref()?)));
    let mut cluster_id = own.cluster_id.clone();
    if let Some((first, theirs)) = told.next() {
        if let Some((other, id)) = told.find(|(_, id)| *id != theirs) {
            let complaint = format!("node {first} is of cluster {theirs}, and node {other} of cluster {id}");
            return Decision::Refuse(vec![complaint]);
        }
        cluster_id = Some(Arc::clone(theirs));
    }
    let is_known = heard.values().any(|hello| hello.directories.contains_key(&own.node.id));
    if let (true, Some(cluster_id)) = (is_known, &cluster_id) {
        return Decision::Join(Arc::clone(cluster_id));
    }
    let others = voters.iter().filter(|id| **id != own.node.id);
    let missing: Vec<_> = others.filter(|id| !heard.contains_key(id)).copied().collect();
    let is_lowest = voters.iter().min() == Some(&own.node.id);
    if !missing.is_empty() || !is_lowest || heard.values().any(|hello| !hello.is_empty) {
        return Decision::Wait(missing);
    }
    let directories = heard.values().chain([own]).map(|hello| (hello.node.id, hello.node.directory_id));
    Decision::Found(cluster_id, directories.collect())
}

/// Why the voter `id`, as it answers, and this node form no quorum; each a sentence that names what to look at.
fn complaints(own: &Hello, id: NodeId, hello: &Hello) -> Vec<String> {
    let mut complaints = Vec::new();
    if hello.node.id != id {
        complaints.push(format!(
            "where node {id} should be, node {} answers: an address of controller.quorum.voters is wrong",
            hello.node.id
        ));
        return complaints;
    }
    if hello.voters != own.voters {
        complaints.push(format!(
            "node {id} has controller.quorum.voters={}, and this node {}: they must be the same",
            hello.voters, own.voters
        ));
    }
    if let (Some(ours), Some(theirs)) = (&own.cluster_id, &hello.cluster_id)
        && ours != theirs
    {
        complaints.push(format!("node {id} is of cluster {theirs}, and this node of cluster {ours}"));
    }
    if hello.node.directory_id == own.node.directory_id {
        complaints.push(format!("the data directory of node {id} and that of this node are copies of each other"));
    }
    let me = own.node.id;
    match hello.directories.get(&me) {
        Some(known) if *known != own.node.directory_id => complaints.push(format!(
            "node {id} knows node {me} by its directory {known}, and this one is {}: the disk was lost or replaced. This \
             node must not vote as what it was; the others go on without it",
            own.node.directory_id
        )),
        None if !hello.directories.is_empty() => {
            complaints.push(format!("node {id} has the metadata of a cluster that node {me} does not belong to"));
        }
        _ => {}
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::rpc::VoterKey;

    const ALL: [NodeId; 3] = [1, 2, 3];

    fn directory(id: NodeId) -> Uuid {
        Uuid::from_u128(u128::from(id.unsigned_abs()))
    }

    fn empty(id: NodeId) -> Hello {
        Hello {
            node: VoterKey { id, directory_id: directory(id) },
            incarnation: Uuid::from_u128(1),
            cluster_id: None,
            voters: "1@a:1,2@b:2,3@c:3".to_owned(),
            is_empty: true,
            directories: BTreeMap::new(),
        }
    }

    fn founded(id: NodeId) -> Hello {
        let directories = ALL.map(|id| (id, directory(id))).into();
        Hello { cluster_id: Some("c".into()), is_empty: false, directories, ..empty(id) }
    }

    fn decided(own: &Hello, heard: impl IntoIterator<Item = Hello>) -> Decision {
        decide(own, &ALL, &heard.into_iter().map(|hello| (hello.node.id, hello)).collect())
    }

    fn refused(own: &Hello, heard: impl IntoIterator<Item = Hello>) -> String {
        match decided(own, heard) {
            Decision::Refuse(complaints) => complaints.join("\n"),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn the_lowest_founds_once_all_are_there_and_empty() {
        let voters: BTreeMap<_, _> = ALL.map(|id| (id, directory(id))).into();
        assert_eq!(decided(&empty(1), [empty(2)]), Decision::Wait(vec![3]));
        assert_eq!(decided(&empty(1), [empty(2), empty(3)]), Decision::Found(None, voters.clone()));
        assert_eq!(decided(&empty(2), [empty(1), empty(3)]), Decision::Wait(Vec::new()));
        let named = Hello { cluster_id: Some("x".into()), ..empty(2) };
        assert_eq!(decided(&empty(1), [named, empty(3)]), Decision::Found(Some("x".into()), voters));
    }

    #[test]
    fn who_is_known_by_its_directory_joins_without_waiting_for_the_rest() {
        assert_eq!(decided(&empty(2), [founded(1)]), Decision::Join("c".into()));
        assert_eq!(decided(&empty(1), [founded(3)]), Decision::Join("c".into()));
    }

    #[test]
    fn one_with_a_vote_alone_keeps_the_others_from_founding() {
        let voted = Hello { is_empty: false, cluster_id: Some("c".into()), ..empty(3) };
        assert_eq!(decided(&empty(1), [empty(2), voted]), Decision::Wait(Vec::new()));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        let other_list = Hello { voters: "1@a:1,2@b:2".to_owned(), ..empty(2) };
        assert!(
            refused(&empty(1), [other_list, empty(3)]).contains("node 2 has controller.quorum.voters=1@a:1,2@b:2,")
        );
        let wiped = Hello { node: VoterKey { id: 2, directory_id: Uuid::from_u128(9) }, ..empty(2) };
        assert!(refused(&wiped, [founded(1), founded(3)]).contains("the disk was lost or replaced"));
        let alone = Hello { directories: [(1, directory(1))].into(), ..founded(1) };
        assert!(refused(&empty(2), [alone]).contains("a cluster that node 2 does not belong to"));
        let another = Hello { cluster_id: Some("d".into()), ..founded(3) };
        assert!(refused(&empty(2), [founded(1), another]).contains("node 1 is of cluster c, and node 3 of cluster d"));
        let told = Hello { cluster_id: Some("d".into()), ..empty(2) };
        assert!(refused(&told, [founded(1)]).contains("node 1 is of cluster c, and this node of cluster d"));
        let copy = Hello { node: VoterKey { id: 2, directory_id: directory(1) }, ..empty(2) };
        assert!(refused(&empty(1), [copy]).contains("copies of each other"));
        let heard = BTreeMap::from([(2, empty(3))]);
        assert!(matches!(decide(&empty(1), &ALL, &heard), Decision::Refuse(why) if why[0].contains("node 3 answers")));
    }
}
