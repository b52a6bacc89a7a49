//! Indexes, snapshots and checkpoints, changed at random: the data stays the same (rows F6 and F7 of the fault table).

use std::fs;

use super::damage::{Facts, Random, facts, filled};
use super::transactions::{ENTRY_SIZE, append_transactions};
use super::*;

/// What is changed of a file.
#[derive(Debug, Clone, Copy)]
enum Mutation {
    Remove,
    Empty,
    Cut,
    Flip,
    Zeros,
    Garbage,
    Grow,
    Another,
}

const MUTATIONS: [Mutation; 8] = [
    Mutation::Remove,
    Mutation::Empty,
    Mutation::Cut,
    Mutation::Flip,
    Mutation::Zeros,
    Mutation::Garbage,
    Mutation::Grow,
    Mutation::Another,
];

/// The files from which nothing is lost when they are: all but segments, identities and the mark of a clean stop.
fn derived(disk: &Disk) -> Vec<PathBuf> {
    let names = |dir: &Path| {
        let names = super::super::files::file_names(dir).unwrap().into_iter();
        names.map(|name| dir.join(name)).collect::<Vec<_>>()
    };
    let mut paths = [names(disk.dir.path()), names(&disk.partition_dir())].concat();
    paths.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !name.contains(".log")
            && !["partition.metadata", "meta.properties", ".lock", ".kafka_cleanshutdown"].contains(&name)
    });
    paths
}

/// Changes the file. A checkpoint is text without a checksum, in Kafka's format: a digit that becomes another digit
/// cannot be told from a true one, so its bits are flipped where that shows.
fn mutate(path: &Path, mutation: Mutation, others: &[PathBuf], random: &mut Random) {
    let mut bytes = fs::read(path).unwrap();
    let is_text = path.to_str().unwrap().ends_with("checkpoint");
    let is_of_transactions = path.extension().is_some_and(|suffix| suffix == "txnindex");
    match mutation {
        // That such a file has fewer entries than it should is found out where the segment has to be read anyway.
        Mutation::Remove | Mutation::Empty if is_of_transactions => {
            fs::remove_file(path).unwrap();
            return super::super::files::remove_if_exists(&path.with_extension("index")).unwrap();
        }
        Mutation::Cut if is_of_transactions => bytes.truncate(1 + random.below(ENTRY_SIZE - 1)),
        Mutation::Flip if is_of_transactions => bytes[random.below(26)] ^= 1 << random.below(8),
        Mutation::Remove => return fs::remove_file(path).unwrap(),
        Mutation::Empty => bytes.clear(),
        // A line whose last digits are cut off is another line, and its number is not the one of the count.
        Mutation::Cut => bytes.truncate(if is_text { bytes.len() / 3 } else { random.below(bytes.len() + 1) }),
        Mutation::Flip => {
            let at = random.below(bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= if is_text { 0x80 } else { 1 << random.below(8) };
            }
        }
        Mutation::Zeros => bytes.iter_mut().for_each(|byte| *byte = 0),
        Mutation::Garbage => bytes.iter_mut().for_each(|byte| *byte = 0x80 | random.below(128) as u8),
        Mutation::Grow => bytes.extend((0..=random.below(40)).map(|_| 0x80 | random.below(128) as u8)),
        Mutation::Another => {
            // Another segment's index; whose snapshot it is, a snapshot does not say.
            let suffix = path.extension().map(|suffix| suffix.to_str().unwrap().to_owned());
            let alike: Vec<_> = others.iter().filter(|other| other.extension() == path.extension()).collect();
            if suffix.is_some_and(|suffix| suffix.contains("index")) && !alike.is_empty() {
                bytes = fs::read(alike[random.below(alike.len())]).unwrap();
            }
        }
    }
    fs::write(path, bytes).unwrap();
}

/// A log of an idempotent producer, or with transactions behind it, after a clean stop or killed with checkpoints behind it.
fn pristine(clean: bool, with_transactions: bool) -> Disk {
    let disk = filled(small_segments(), 60, clean && !with_transactions);
    let entry = |log: &Log| CheckpointEntry { recovery_point: 40, high_watermark: 100, ..checkpoint_of(log) };
    if with_transactions {
        let (dir, mut log) = disk.start();
        append_transactions(&mut log, 15);
        // The first start after this writes their indexes.
        let (dir, log) = disk.restart_after_crash((dir, log));
        if clean {
            Disk::stop((dir, log));
        } else {
            dir.write_checkpoints(&[entry(&log)]).unwrap();
        }
    } else if !clean {
        let (dir, log) = disk.start();
        dir.write_checkpoints(&[entry(&log)]).unwrap();
    }
    disk
}

fn run(rounds: usize, seed: u64) {
    for (offset, (clean, with_transactions)) in
        [(true, false), (false, false), (true, true), (false, true)].into_iter().enumerate()
    {
        let pristine = pristine(clean, with_transactions);
        let disk = Disk::new(small_segments());
        copy_dir(pristine.dir.path(), disk.dir.path());
        let all = |log: &mut Log| (facts(log), log.aborted.between(0, i64::MAX).collect::<Vec<_>>());
        let expected: (Facts, _) = all(&mut disk.start().1);
        let (end, aborted) = if with_transactions { (180, 8) } else { (120, 0) };
        assert_eq!((expected.0.0, expected.0.1, expected.1.len()), (0, end, aborted));
        let mut random = Random(seed + offset as u64);
        for round in 0..rounds / 4 {
            copy_dir(pristine.dir.path(), disk.dir.path());
            let paths = derived(&disk);
            let mut done = Vec::new();
            // One file as a rule, and several at once now and then.
            for _ in 0..if random.below(4) == 0 { 1 + random.below(5) } else { 1 } {
                let path = &paths[random.below(paths.len())];
                let mutation = MUTATIONS[random.below(MUTATIONS.len())];
                if path.exists() {
                    mutate(path, mutation, &derived(&disk), &mut random);
                    done.push((path.file_name().unwrap(), mutation));
                }
            }
            let told = format!("seed {seed}, clean: {clean}, round {round}: {done:?}");
            let (dir, mut log) = disk.start();
            assert!(all(&mut log) == expected, "{told}");
            let again = append(&mut log, &idempotent(7, 0, 118, 2));
            assert_eq!((again.first_offset, again.duplicate), (118, true), "{told}");
            append(&mut log, &idempotent(7, 0, 120, 2));
            assert_eq!(disk.restart_after_crash((dir, log)).1.log_end_offset(), end + 2, "{told}");
        }
    }
}

#[test]
fn a_thousand_mutations_of_derived_files_change_nothing() {
    run(1_000, 1);
}

/// `scripts/faults/mutations.sh` runs it.
#[test]
#[ignore = "a minute long"]
fn ten_thousand_mutations_of_derived_files_change_nothing() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(2);
    run(10_000, seed);
    println!("10,000 mutations with seed {seed}: the same data after each");
}
