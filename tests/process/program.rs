//! The program as a person starts it: with arguments, and with a log that can be read while it runs.

use std::fs::File;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use klamm::network::channel::Channel;
use tempfile::TempDir;

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// The program without what this process's environment would have it do.
pub(crate) fn klamm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klamm"));
    command.args(arguments).env_clear();
    command
}

/// What `klamm` with these arguments prints until it ends.
pub(crate) fn output(arguments: &[&str]) -> Output {
    klamm(arguments).output().unwrap()
}

/// A broker in memory; it is killed when it goes out of scope.
pub(crate) struct Program {
    child: Child,
    directory: TempDir,
    pub(crate) port: u16,
}

impl Program {
    /// Starts on a free port of `host`, and waits until clients are served.
    pub(crate) fn start(host: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ready = directory.path().join("ready");
        let listen = format!("{host}:0");
        let given = ["start", "--memory", "--listen", &listen, "--ready-file", ready.to_str().unwrap()];
        let log = File::create(directory.path().join("log")).unwrap();
        let mut command = klamm(&[&given, arguments, &["--set", "klamm.http.bind="]].concat());
        let child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut program = Self { child, directory, port: 0 };
        program.until("it is ready", || ready.exists());
        program.port = program.bound_port();
        program
    }

    /// The port that was bound, which need not be the one that is advertised.
    fn bound_port(&mut self) -> u16 {
        use std::io::{BufRead, BufReader};
        let mut lines = BufReader::new(self.child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.find(|line| line.contains("listening")).unwrap();
        let address = listening.split_whitespace().nth(1).unwrap().to_owned();
        // What follows is read, too: a program whose pipe is closed would end.
        std::thread::spawn(move || lines.for_each(drop));
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::connect(("127.0.0.1", self.port), "process").await.unwrap()
    }

    /// The lines of the log so far that contain `text`.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// The first line of the log that contains `text`, once there is one.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.until(text, || !self.logged(text).is_empty());
        self.logged(text).swap_remove(0)
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "{what} did not happen; the log: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
