//! A first run on a terminal, and what a client and Ctrl-C leave there. The terminal is a pseudo-terminal of Linux, and
//! util-linux's setsid makes it the program's own, so that Ctrl-C is a signal to it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use klamm::network::channel::Channel;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::program::{klamm, output};

const PATIENCE: Duration = Duration::from_mins(1);

/// A program on a terminal of its own.
struct Terminal {
    screen: File,
    child: Child,
    /// All that has been on the screen.
    shown: String,
}

impl Terminal {
    /// `None` where this machine has no setsid.
    fn run(arguments: &[&str]) -> Option<Self> {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap().into_string().unwrap();
        let side = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(env!("CARGO_BIN_EXE_klamm")).args(arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().ok()?;
        Some(Self { screen: File::from(screen), child, shown: String::new() })
    }

    /// Reads what is shown until `text` is there.
    fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.shown.contains(text) {
            assert!(start.elapsed() < PATIENCE, "{text:?} is not shown: {}", self.shown);
            assert!(self.read(), "it has ended without {text:?}: {}", self.shown);
        }
    }

    /// Whether there was more.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // The terminal reports an error once nobody has it open any more.
        let count = self.screen.read(&mut bytes).unwrap_or(0);
        self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }

    /// What is shown until the end, and the exit code.
    fn finish(mut self) -> (String, Option<i32>) {
        while self.read() {}
        (std::mem::take(&mut self.shown), self.child.wait().unwrap().code())
    }
}

/// A test that fails leaves no broker behind.
impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port after `listening  127.0.0.1:`.
fn port(shown: &str) -> u16 {
    let address = shown.split("listening  127.0.0.1:").nth(1).unwrap();
    address.split(' ').next().unwrap().parse().unwrap()
}

/// Has the broker create a topic, as a client does that has not looked whether it is there.
async fn use_topic(port: u16, name: &'static str) {
    let mut channel = Channel::connect(("127.0.0.1", port), "first-run").await.unwrap();
    let name = TopicName(StrBytes::from_static_str(name));
    let topic = MetadataRequestTopic::default().with_name(Some(name));
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true);
    assert_eq!(channel.call(&request).await.unwrap().topics[0].error_code, 0);
}

/// `text` without colours.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[tokio::test]
async fn a_first_run_tells_where_everything_is_and_ctrl_c_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // HTTP has the one port that another test's broker may have, which would be a line more.
    let given = ["--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let arguments = [&given[..], &["--set", "num.partitions=3", "--set", "klamm.http.bind="]].concat();
    let Some(mut terminal) = Terminal::run(&arguments) else { return };
    terminal.wait_for("README.md");
    let banner = plain(&terminal.shown);
    for fact in [
        concat!("Klamm ", env!("CARGO_PKG_VERSION"), " · Kafka 4.1 protocol · node 1 · cluster "),
        "listening  127.0.0.1:",
        &format!("data       {} (0 topics)", data.display()),
        "config     built-in defaults, arguments",
        "Ready in ",
        "Try:  ",
    ] {
        assert!(banner.contains(fact), "{fact:?} is missing in {banner}");
    }
    assert!(terminal.shown.contains('\x1b'), "a terminal has colours");
    assert!(!banner.contains("KafkaServer"), "what programs wait for is not for people");
    use_topic(port(&banner), "payments").await;
    terminal.wait_for("topic payments created");
    terminal.screen.write_all(b"\x03").unwrap();
    let (shown, code) = terminal.finish();
    let shown = plain(&shown);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains(concat!(
        "topic payments created (3 partitions) by klamm ",
        env!("CARGO_PKG_VERSION"),
        " at 127.0.0.1"
    )));
    let end = shown.split("^C").nth(1).unwrap_or_else(|| panic!("no Ctrl-C in {shown}"));
    assert!(end.contains("stopping; a second signal stops at once") && end.contains("stopped in "), "{end}");
    assert!(!shown.contains("WARN") && !shown.contains("ERROR"), "{shown}");
}

#[test]
fn colours_are_for_terminals_only() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut command = klamm(&["--listen", "127.0.0.1:0", "--memory"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).stdin(Stdio::null()).spawn().unwrap();
    let mut shown = Vec::new();
    let mut stdout = child.stdout.take().unwrap();
    while !String::from_utf8_lossy(&shown).contains("[KafkaServer id=1] started") {
        let mut bytes = [0; 1024];
        let count = stdout.read(&mut bytes).unwrap();
        assert!(count > 0, "it has ended");
        shown.extend_from_slice(&bytes[..count]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(!String::from_utf8_lossy(&shown).contains('\x1b') && !logged.contains('\x1b'), "{logged}");
    let failed = output(&["--set", "nodeid=1"]);
    assert!(!String::from_utf8_lossy(&failed.stderr).contains('\x1b'));
}
