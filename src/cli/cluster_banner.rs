//! What a person wants to know once several brokers run in one process: the same as of one, for all of them together.

use super::banner::Banner;

/// What is to be said of brokers that run: of more than one, by what is to be said of each.
pub(super) struct ClusterBanner<'a>(pub(super) &'a [Banner<'a>]);

/// Where clients on this machine begin: at all of them.
pub(super) fn bootstrap(banners: &[Banner<'_>]) -> String {
    banners.iter().filter_map(Banner::reachable_at).collect::<Vec<_>>().join(",")
}

impl ClusterBanner<'_> {
    /// Its lines.
    pub(super) fn text(&self, is_colourful: bool) -> String {
        let who = format!("{} nodes", self.0.len());
        let Some(first) = self.0.first() else { return String::new() };
        first.lines(is_colourful, &who, &self.facts(), &self.suggestions())
    }

    /// Where each node listens and has its data, and what they have in common.
    fn facts(&self) -> Vec<(String, String)> {
        let mut facts = Vec::new();
        for banner in self.0 {
            let told = banner.facts();
            for (label, fact) in &told {
                let label =
                    if *label == "listening" { format!("node {}", banner.node_id) } else { (*label).to_owned() };
                let is_common = *label == *"config" || (label == "data" && fact.starts_with("in memory"));
                if !is_common || !facts.contains(&(label.clone(), fact.clone())) {
                    facts.push((label, fact.clone()));
                }
            }
        }
        // Stable: what is of one kind stays in the order of the nodes.
        facts.sort_by_key(|(label, _)| ["http", "data", "config"].iter().position(|other| label == other));
        let place = facts.iter().position(|(label, _)| !label.starts_with("node ")).unwrap_or(facts.len());
        facts.insert(place, ("bootstrap".to_owned(), bootstrap(self.0)));
        facts
    }

    fn suggestions(&self) -> Vec<String> {
        let bootstrap = bootstrap(self.0);
        vec![
            format!("klamm topic create payments -p 3 -r {} -b {bootstrap}", self.0.len().min(3)),
            format!("klamm cluster info -b {bootstrap}"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::banner::Setup;
    use super::*;
    use crate::config::Config;
    use crate::ids::NodeId;

    fn setup(node_id: NodeId, listener: &str) -> Setup {
        let directory = format!("/data/node-{node_id}");
        Setup::by(&Config::with(&[("listeners", listener), ("log.dirs", &directory)]).unwrap())
    }

    #[test]
    fn nodes_are_told_together() {
        assert!(Path::new("/data").is_absolute());
        let setups = [setup(1, "PLAINTEXT://localhost:9092"), setup(2, "PLAINTEXT://localhost:0")];
        let banner = |node_id, setup, port: u16, http: Option<&str>| Banner {
            setup,
            node_id,
            cluster_id: "c".to_owned(),
            bound: vec![("PLAINTEXT".into(), ([127, 0, 0, 1], port).into())],
            http: http.map(|address| address.parse().unwrap()),
            topics: 1,
            ready_in: Duration::from_millis(300),
        };
        let banners = [banner(1, &setups[0], 9092, Some("127.0.0.1:9021")), banner(2, &setups[1], 4711, None)];
        assert_eq!(
            ClusterBanner(&banners).text(false),
            "Klamm 0.1.0 · Kafka 4.1 protocol · 2 nodes · cluster c\n  \
             node 1     127.0.0.1:9092 (PLAINTEXT), clients are told localhost:9092\n  \
             node 2     127.0.0.1:4711 (PLAINTEXT), clients are told localhost:4711\n  \
             bootstrap  localhost:9092,localhost:4711\n  \
             http       http://127.0.0.1:9021 (/metrics, /readyz)\n  \
             data       /data/node-1 (1 topic)\n  \
             data       /data/node-2 (1 topic)\n  \
             config     built-in defaults, arguments\n  \
             Ready in 300 ms\n\
             Try:  klamm topic create payments -p 3 -r 2 -b localhost:9092,localhost:4711\n      \
             klamm cluster info -b localhost:9092,localhost:4711\n"
        );
    }
}
