//! Commands that send and read records, as programs of their own.

use std::io::Write;
use std::process::{Command, Stdio};

use super::Process;

/// Runs `klamm` with words against the broker; its exit code, and what it says on stdout and on stderr.
fn klamm(broker: &Process, words: &[&str], stdin: &str) -> (i32, String, String) {
    let address = format!("127.0.0.1:{}", broker.port);
    let words: Vec<&str> = words.iter().map(|word| if *word == "{broker}" { &address } else { *word }).collect();
    let mut child = Command::new(env!("CARGO_BIN_EXE_klamm"))
        .args(&words)
        .env("KLAMM_BROKERS", &address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn broker() -> (Process, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    (Process::start(data.path()), data)
}

#[test]
fn records_go_in_and_come_out_as_they_are_wanted() {
    let (broker, _data) = broker();
    let said = |words: &[&str], stdin: &str| {
        let (code, stdout, stderr) = klamm(&broker, words, stdin);
        assert_eq!(code, 0, "{words:?}: {stderr}");
        stdout
    };
    let sent = said(&["topic", "produce", "t", "-k", "user-10", "-H", "trace=1", "a", "b"], "");
    assert_eq!(sent, "t-0 offset 0\nt-0 offset 1\n");
    assert_eq!(
        said(&["topic", "produce", "t", "-f", "%k=%v", "-z", "zstd"], "x=1\ny=2\n"),
        "t-0 offset 2\nt-0 offset 3\n"
    );
    said(&["topic", "produce", "t", "-k", "x", "--tombstone"], "");
    let shown = said(&["topic", "consume", "t", "-o", ":end", "-f", "%o %k=%v %h{%k:%v}%a{compression}\\n"], "");
    assert_eq!(shown, "0 user-10=a trace:1none\n1 user-10=b trace:1none\n2 x=1 zstd\n3 y=2 zstd\n4 x= none\n");
    assert_eq!(said(&["topic", "consume", "t", "-o", "-2", "-n", "1"], ""), "2\n");
    assert_eq!(said(&["topic", "consume", "t", "-o", "1:3", "-f", "%v,"], ""), "b,1,");
    let json = said(&["topic", "consume", "t", "-o", ":end", "-f", "json"], "");
    said(&["topic", "produce", "copy", "--json"], &json);
    let copied = said(&["topic", "consume", "copy", "-o", ":end", "-f", "json"], "");
    assert_eq!(copied, json.replace("\"topic\":\"t\"", "\"topic\":\"copy\""));
    assert_eq!(said(&["topic", "consume", "t", "-g", "readers", "-n", "2"], ""), "a\nb\n");
    assert_eq!(said(&["topic", "consume", "t", "-g", "readers", "-n", "1"], ""), "1\n");
}

#[test]
fn what_cannot_be_done_is_told_with_its_place_and_a_hint() {
    let (broker, _data) = broker();
    let (code, stdout, stderr) = klamm(&broker, &["topic", "produce", "payments", "-f", "%k=%v"], "a=1\nb\n");
    assert_eq!((code, stdout.as_str()), (1, "payments-0 offset 0\n"));
    assert!(stderr.contains("line 2: the line has no \"=\" where the format has it"), "{stderr}");
    let (code, _, stderr) = klamm(&broker, &["topic", "consume", "paymnets"], "");
    assert_eq!(code, 1);
    assert!(stderr.contains("there is no topic paymnets\n  try: did you mean \"payments\"?"), "{stderr}");
    let (code, _, stderr) = klamm(&broker, &["topic", "consume", "payments", "-o", "end:start"], "");
    assert_eq!(code, 2);
    assert!(stderr.contains("is no offset; there are start, end"), "{stderr}");
    let (code, _, stderr) = klamm(&broker, &["topic", "produce", "a name", "v"], "");
    assert_eq!(code, 1);
    assert!(stderr.contains("no topic can have this name: 'a name' contains one or more characters other"), "{stderr}");
    let (code, _, stderr) = klamm(&broker, &["topic", "produce", "payments", "v", "-p", "7"], "");
    assert_eq!(code, 1);
    assert!(stderr.contains("payments has no partition 7; it has 1, which are counted from 0"), "{stderr}");
}

#[test]
fn kafkas_tools_send_count_and_read() {
    let (broker, _data) = broker();
    let tool =
        |words: &[&str], stdin: &str| klamm(&broker, &[words, &["--bootstrap-server", "{broker}"]].concat(), stdin);
    let keyed = ["--property", "parse.key=true", "--property", "key.separator=:"];
    let producer = [&["kafka-console-producer", "--topic", "words"], &keyed[..]].concat();
    assert_eq!(tool(&producer, "a:1\nb:2\n").0, 0);
    let (code, _, stderr) = tool(&producer, "c:3\nd\n");
    assert_eq!(code, 1);
    assert_eq!(stderr, "org.apache.kafka.common.KafkaException: No key separator found on line number 2: 'd'\n");
    assert_eq!(tool(&["kafka-get-offsets", "--topic", "wor.*"], "").1, "words:0:3\n");
    let (code, _, stderr) = tool(&["kafka-get-offsets", "--topic", "none"], "");
    assert_eq!(
        (code, stderr.lines().next()),
        (1, Some("Error occurred: Could not match any topic-partitions with the specified filters"))
    );
    let consumer =
        ["kafka-console-consumer", "--from-beginning", "--max-messages", "2", "--property", "print.key=true"];
    let by_topic = tool(&[&consumer[..], &["--topic", "words", "--group", "g"]].concat(), "");
    assert_eq!(by_topic, (0, "a\t1\nb\t2\n".to_owned(), "Processed a total of 2 messages\n".to_owned()));
    let rest = tool(&["kafka-console-consumer", "--include", "w.*", "--group", "g", "--timeout-ms", "1500"], "");
    assert_eq!((rest.0, rest.1.as_str()), (0, "3\n"));
    assert!(rest.2.ends_with("TimeoutException\nProcessed a total of 1 messages\n"), "{}", rest.2);
    let from =
        ["kafka-console-consumer", "--topic", "words", "--partition", "0", "--offset", "1", "--max-messages", "1"];
    assert_eq!(tool(&from, "").1, "2\n");
}
