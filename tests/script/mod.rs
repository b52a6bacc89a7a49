//! The runner of the scripts, which knows no machine.
//!
//! A file is a list of blocks separated by blank lines. A block is command lines, a line `----`, and the lines of output
//! that the commands together must give. Lines that begin with `#` outside of the output are comments.

use std::path::{Path, PathBuf};

pub(crate) mod configuration;
pub(crate) mod controller;
mod controller_admin;
mod controller_records;
pub(crate) mod group;
mod group_text;
pub(crate) mod transaction;
mod transaction_text;

/// Where commands go: takes one line, returns its output without blank lines.
pub(crate) type Execute = Box<dyn FnMut(&str) -> String>;

/// Runs every file of `tests/scripts/` whose name begins with `prefix`, each against a fresh machine.
///
/// Panics when a file's outputs differ from its machine's, unless `UPDATE` is set: then the file is rewritten.
pub(crate) fn run_all(prefix: &str, mut machine: impl FnMut() -> Execute) {
    let files = files(prefix);
    assert!(!files.is_empty(), "no script begins with {prefix}");
    for file in files {
        let before = std::fs::read_to_string(&file).unwrap();
        let after = replay(&before, &mut machine());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, after).unwrap();
        } else if before != after {
            panic!("{}: {}", file.display(), first_difference(&before, &after));
        }
    }
}

fn files(prefix: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
        .collect();
    files.sort();
    files
}

/// The file as it should be: the same comments and commands, with the outputs that `execute` gives.
fn replay(text: &str, execute: &mut Execute) -> String {
    text.split("\n\n").map(|block| replay_block(block.trim_end(), execute)).collect::<Vec<_>>().join("\n\n") + "\n"
}

fn replay_block(block: &str, execute: &mut Execute) -> String {
    let told: Vec<&str> = block.lines().take_while(|line| *line != "----").collect();
    let mut result = told.join("\n");
    let commands: Vec<&&str> = told.iter().filter(|line| !line.starts_with('#')).collect();
    if !commands.is_empty() {
        result.push_str("\n----");
    }
    for command in commands {
        for line in execute(command).lines() {
            result.push('\n');
            result.push_str(line);
        }
    }
    result
}

fn first_difference(before: &str, after: &str) -> String {
    let mut before = before.lines();
    for (index, line) in after.lines().enumerate() {
        let expected = before.next().unwrap_or("<end of file>");
        if expected != line {
            return format!("line {}\n  expected: {expected}\n  actual:   {line}", index + 1);
        }
    }
    format!("unexpected end; expected: {}", before.next().unwrap_or("nothing"))
}
