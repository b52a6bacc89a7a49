//! A start that fails where the log is JSON says so in JSON, too: whoever collects the log reads nothing else.

use std::net::TcpListener;

use serde_json::Value;

use crate::program::{klamm, output};

/// The last line of stderr, and every other one is JSON, too.
fn last_line(stderr: &[u8]) -> Value {
    let lines = std::str::from_utf8(stderr).unwrap().lines();
    let parsed = lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")));
    parsed.collect::<Vec<_>>().pop().unwrap()
}

#[test]
fn a_start_that_fails_ends_with_a_line_of_json() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let start = ["start", "--memory", "--listen", &listen, "--set", "klamm.http.bind="];
    let refused = output(&[&start[..], &["--set", "klamm.log.format=json"]].concat());
    let line = last_line(&refused.stderr);
    assert_eq!((refused.status.code(), &line["level"]), (Some(1), &"ERROR".into()));
    assert!(line["message"].as_str().unwrap().contains(&listen) && line["hint"].is_string(), "{line}");

    let mut wrong = klamm(&["start", "--set", "num.partition=3"]);
    let refused = wrong.env("KLAMM_LOG_FORMAT", "json").output().unwrap();
    let line = last_line(&refused.stderr);
    assert_eq!((refused.status.code(), &line["message"]), (Some(2), &"--set: unknown key \"num.partition\"".into()));
    assert_eq!(line["hint"], "did you mean \"num.partitions\"?");
}
