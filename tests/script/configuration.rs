//! `klamm config check` and its kin as a machine of the scripts.
//!
//! `file NAME` and the lines after it that begin with `|` are a file, in which `\t` and `\xNN` are a tab and a byte;
//! `directory NAME` is a directory; `env NAME=value` is a variable. `klamm ARGUMENTS` runs the program among them and tells
//! what it prints, and its exit code unless that is 0. What comes after a run begins anew.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Execute;

/// A wrong configuration is told at once; a broker that starts all the same would run on.
const LONGEST: Duration = Duration::from_secs(20);

/// A folder with files, and an environment.
struct Surroundings {
    folder: tempfile::TempDir,
    file: Option<PathBuf>,
    variables: Vec<(String, String)>,
    is_used: bool,
}

impl Surroundings {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), file: None, variables: Vec::new(), is_used: false }
    }

    fn execute(&mut self, line: &str) -> String {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        if self.is_used && command != "klamm" && command != "|" {
            *self = Self::new();
        }
        match command {
            "file" => self.create(rest),
            "directory" => std::fs::create_dir(self.folder.path().join(rest)).unwrap(),
            "|" => self.append(rest),
            "env" => {
                let (name, value) = rest.split_once('=').unwrap();
                self.variables.push((name.to_owned(), value.to_owned()));
            }
            "klamm" => return self.run(rest),
            _ => panic!("no such command: {line}"),
        }
        String::new()
    }

    fn create(&mut self, name: &str) {
        let file = self.folder.path().join(name);
        std::fs::write(&file, "").unwrap();
        self.file = Some(file);
    }

    fn append(&self, line: &str) {
        let file = self.file.as_ref().unwrap();
        let mut bytes = std::fs::read(file).unwrap();
        bytes.extend(unescaped(line));
        bytes.push(b'\n');
        std::fs::write(file, bytes).unwrap();
    }

    fn run(&mut self, arguments: &str) -> String {
        self.is_used = true;
        let child = Command::new(env!("CARGO_BIN_EXE_klamm"))
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        told(child)
    }
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut parts = line.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().replace("\\t", "\t").into_bytes();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].replace("\\t", "\t").into_bytes());
    }
    bytes
}

/// What a program printed until it ended, without blank lines, and how it ended.
fn told(mut child: Child) -> String {
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begin.elapsed() > LONGEST {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let mut lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    match status.map(|status| status.code()) {
        Some(Some(0)) => {}
        Some(code) => lines.push(format!("exit code {}", code.unwrap_or(-1))),
        None => lines.push("still running".to_owned()),
    }
    lines.join("\n")
}

pub(crate) fn machine() -> Execute {
    let mut surroundings = Surroundings::new();
    Box::new(move |line| surroundings.execute(line))
}
