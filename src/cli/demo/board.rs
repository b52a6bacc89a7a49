//! What the demo shows: how many orders there are, and how far each group is. Pure.

use std::collections::BTreeMap;

/// The groups that read the orders.
pub(super) const GROUPS: [&str; 3] = ["kitchen", "delivery", "billing"];

/// The order that customers give in turns.
const CUSTOMERS: [&str; 5] = ["ada", "bo", "chen", "dana", "emre"];
const DISHES: [&str; 4] = ["dumplings", "soup", "noodles", "pie"];

/// An order: who gives it, which is its key, and what it says.
pub(super) fn order(number: u64) -> (&'static str, String) {
    let of = |names: &'static [&'static str], at: u64| names[(at % names.len() as u64) as usize];
    // Steps that share no factor with the numbers of names go through all of them.
    let (customer, dish) = (of(&CUSTOMERS, number * 3), of(&DISHES, number * 7));
    let count = number % 3 + 1;
    (
        customer,
        format!("{{\"order\": {number}, \"customer\": \"{customer}\", \"count\": {count}, \"dish\": \"{dish}\"}}"),
    )
}

/// How far a group is.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupProgress {
    /// Orders it has read, those that it has read again as well.
    pub(super) read: u64,
    /// The offset that it reads next of each partition that it has.
    positions: BTreeMap<i32, i64>,
    /// What it has read last.
    last: String,
    /// What it does besides reading.
    pub(super) note: &'static str,
}

/// The state of everything that is shown.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Orders that were sent.
    pub(super) sent: u64,
    newest: String,
    /// The offset behind the last order of each partition.
    ends: BTreeMap<i32, i64>,
    groups: [GroupProgress; GROUPS.len()],
}

impl Board {
    /// A partition ends there.
    pub(super) fn ends_at(&mut self, partition: i32, offset: i64) {
        let end = self.ends.entry(partition).or_default();
        *end = offset.max(*end);
    }

    /// An order was sent; answers the line that tells it.
    pub(super) fn sent(&mut self, partition: i32, offset: i64, order: &str) -> String {
        self.sent += 1;
        self.ends_at(partition, offset + 1);
        self.newest = format!("{order} -> orders-{partition} offset {offset}");
        format!("sent      {}", self.newest)
    }

    /// A group of [`GROUPS`].
    pub(super) fn group(&mut self, group: usize) -> &mut GroupProgress {
        &mut self.groups[group]
    }

    /// A group reads these offsets next; what it does not name is somebody else's.
    pub(super) fn reads_at(&mut self, group: usize, positions: BTreeMap<i32, i64>) {
        self.groups[group].positions = positions;
    }

    /// A group has read an order; answers the line that tells it.
    pub(super) fn read(&mut self, group: usize, partition: i32, offset: i64, order: &str) -> String {
        let progress = &mut self.groups[group];
        progress.read += 1;
        order.clone_into(&mut progress.last);
        progress.positions.insert(partition, offset + 1);
        format!("{:9} {order}, lag {}", GROUPS[group], self.lag(group))
    }

    /// How many orders a group has before it.
    pub(super) fn lag(&self, group: usize) -> i64 {
        let positions = &self.groups[group].positions;
        positions.iter().map(|(partition, at)| (self.ends.get(partition).copied().unwrap_or(0) - at).max(0)).sum()
    }

    /// Whether every group has read everything there is.
    pub(super) fn is_read(&self) -> bool {
        let is_read = |group: usize| {
            let positions = &self.groups[group].positions;
            self.ends.iter().all(|(partition, end)| positions.get(partition).is_some_and(|at| at >= end))
        };
        (0..GROUPS.len()).all(is_read)
    }

    /// The lines of the picture; each is shorter than a terminal is wide.
    pub(super) fn picture(&self, address: &str) -> Vec<String> {
        let mut lines = vec![
            format!("klamm demo orders: topic orders at {address}"),
            String::new(),
            format!("{} orders sent. The newest: {}", self.sent, self.newest),
            String::new(),
            "GROUP      READ   LAG  LAST ORDER".to_owned(),
        ];
        for (at, name) in GROUPS.iter().enumerate() {
            let progress = &self.groups[at];
            // In front of the order, which may be cut.
            let note = if progress.note.is_empty() { String::new() } else { format!("[{}] ", progress.note) };
            lines.push(format!("{name:9}{:6}{:6}  {note}{}", progress.read, self.lag(at), progress.last));
        }
        lines.extend([String::new(), "r replays billing   p pauses kitchen   q stops".to_owned()]);
        lines.into_iter().map(|line| line.chars().take(79).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_lags_behind_what_was_sent() {
        let mut board = Board::default();
        assert_eq!(board.sent(1, 0, "#0"), "sent      #0 -> orders-1 offset 0");
        board.sent(1, 1, "#1");
        board.sent(0, 0, "#2");
        for group in 0..GROUPS.len() {
            board.reads_at(group, BTreeMap::from([(0, 0), (1, 0)]));
        }
        assert_eq!((board.lag(0), board.is_read()), (3, false));
        assert_eq!(board.read(0, 1, 1, "#1"), "kitchen   #1, lag 1");
        for group in 0..GROUPS.len() {
            board.reads_at(group, BTreeMap::from([(0, 1), (1, 2)]));
        }
        assert_eq!((board.lag(0), board.is_read()), (0, true));
    }

    #[test]
    fn the_picture_shows_every_group_and_fits() {
        let mut board = Board::default();
        board.sent(0, 0, &"long ".repeat(30));
        board.group(0).note = "paused";
        board.read(0, 0, 0, &"long ".repeat(30));
        let picture = board.picture("localhost:9092");
        assert!(GROUPS.iter().all(|name| picture.iter().any(|line| line.starts_with(name))), "{picture:?}");
        assert!(picture.iter().all(|line| line.len() < 80) && picture.iter().any(|line| line.contains("[paused]")));
    }

    #[test]
    fn one_customers_orders_have_one_key() {
        let customers: std::collections::BTreeSet<_> = (0..20).map(|number| order(number).0).collect();
        assert_eq!(customers.len(), CUSTOMERS.len());
        assert!(order(7).1.starts_with("{\"order\": 7, \"customer\": \"bo\""), "{}", order(7).1);
    }
}
