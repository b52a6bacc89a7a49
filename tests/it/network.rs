//! The network in front of a scripted service: order, bounds, deadlines, ends.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use klamm::network::Limits;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use crate::server::{MUTED, Peer, Script, Server, framed, start, until, within};

const SHORT: Duration = Duration::from_millis(150);

fn script(limits: Limits) -> Server<Script> {
    start(Script::default(), limits)
}

#[tokio::test]
async fn owed_answers_complete_in_any_order_and_leave_in_the_order_of_requests() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    for request in [&b"?1"[..], b"=2", b"?3", b"-", b"=4"] {
        peer.request(request).await;
    }
    until(|| server.service.handled() == 5).await;
    server.service.complete(b"?3").await;
    sleep(Duration::from_millis(20)).await;
    assert!(peer.0.try_read(&mut [0; 1]).is_err(), "nothing may overtake the first answer");
    server.service.complete(b"?1").await;
    for answer in [&b"?1"[..], b"=2", b"?3", b"=4"] {
        assert_eq!(peer.answer().await, answer);
    }
}

#[tokio::test]
async fn only_so_many_answers_are_owed_and_the_rest_is_read_when_they_have_left() {
    let server = script(Limits { max_owed: 3, ..Limits::default() });
    let mut peer = server.connect().await;
    for number in 0..10 {
        peer.request(&[b'?', number]).await;
    }
    until(|| server.service.handled() == 3).await;
    sleep(Duration::from_millis(20)).await;
    assert_eq!(server.service.handled(), 3);
    for number in 0..10 {
        server.service.complete(&[b'?', number]).await;
        assert_eq!(peer.answer().await, [b'?', number]);
    }
}

#[tokio::test]
async fn a_muted_connection_reads_no_request_until_its_time_is_over_while_answers_leave() {
    let server = script(Limits { idle_timeout: SHORT, ..Limits::default() });
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    for request in [&b"?1"[..], b"m2", b"=3"] {
        peer.request(request).await;
    }
    let muted_at = Instant::now();
    until(|| server.service.handled() == 2).await;
    server.service.complete(b"?1").await;
    for answer in [&b"?1"[..], b"m2"] {
        assert_eq!(peer.answer().await, answer);
    }
    other.assert_open().await;
    assert!(muted_at.elapsed() < MUTED, "the answers before leave at once, and others are not held up");
    assert_eq!(peer.answer().await, b"=3");
    assert!(muted_at.elapsed() >= MUTED, "the request behind waits, longer than a connection may be idle");
}

#[tokio::test]
async fn an_owed_answer_mutes_the_connection_when_it_is_complete() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    peer.request(b"M1").await;
    peer.request(b"=2").await;
    until(|| server.service.handled() == 2).await;
    server.service.complete(b"M1").await;
    for answer in [&b"M1"[..], b"=2"] {
        assert_eq!(peer.answer().await, answer);
    }
    let muted_at = Instant::now();
    peer.request(b"=3").await;
    assert_eq!(peer.answer().await, b"=3");
    assert!(muted_at.elapsed() >= MUTED * 3 / 4, "{:?}", muted_at.elapsed());
}

#[tokio::test]
async fn a_last_answer_leaves_and_the_connection_ends() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    for request in [&b"?1"[..], b"l2", b"=3"] {
        peer.request(request).await;
    }
    until(|| server.service.handled() == 2).await;
    server.service.complete(b"?1").await;
    for answer in [&b"?1"[..], b"l2"] {
        assert_eq!(peer.answer().await, answer);
    }
    peer.assert_closed().await;
}

/// B52: ten thousand requests without reading an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_up_only_itself_and_is_closed_in_the_end() {
    let server = script(Limits { write_timeout: SHORT, ..Limits::default() });
    let mut peer = server.connect().await;
    let mut requests = Vec::new();
    for _ in 0..10_000 {
        requests.extend_from_slice(&framed(b"+\x00\x40"));
    }
    peer.send(&requests).await;
    until(|| server.network.connection_count() == 0).await;
    assert!(server.service.handled() < 1_000, "{} answers of 64 KiB were made", server.service.handled());
    server.connect().await.assert_open().await;
}

/// Far more than one reading waits in the system's buffers, which report room only once a third of them is free: that
/// takes longer than a client may take nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_but_steady_reader_is_served_to_the_end() {
    const ANSWERS: usize = 1_000;
    for kind in [b'+', b'f'] {
        let server = script(Limits { write_timeout: Duration::from_millis(500), ..Limits::default() });
        let mut peer = server.connect().await;
        let requests: Vec<u8> = (0..ANSWERS).flat_map(|_| framed(&[kind, 0, 32]).to_vec()).collect();
        peer.send(&requests).await;
        let slow_until = Instant::now() + Duration::from_secs(3);
        let mut answers = 0;
        while answers < ANSWERS {
            within(peer.0.read_exact(&mut [0; 4])).await.unwrap();
            let length = if kind == b'f' { 32 * 1024 + 2 } else { 32 * 1024 };
            within(peer.0.read_exact(&mut vec![0; length])).await.unwrap();
            answers += 1;
            if Instant::now() < slow_until {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_pauses_gets_everything_in_order() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    let requests: Vec<u8> = (0..2_000).flat_map(|_| framed(b"+\x00\x10").to_vec()).collect();
    peer.send(&requests).await;
    sleep(SHORT).await;
    for _ in 0..2_000 {
        assert_eq!(peer.answer().await.len(), 16 * 1024);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_from_files_leave_whole_and_in_order() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    let requests: Vec<u8> =
        (0..20).flat_map(|_| [framed(b"f\x04\x00"), framed(b"=1"), framed(b"f\x00\x01")].concat()).collect();
    peer.send(&requests).await;
    // More than the socket takes at once.
    sleep(SHORT).await;
    for _ in 0..20 {
        let large = peer.answer().await;
        assert_eq!((large.len(), large[0], large[1], large[1024 * 1024 + 1]), (1024 * 1024 + 2, b'<', b'f', b'>'));
        assert!(large[1..=1024 * 1024].iter().all(|byte| *byte == b'f'));
        assert_eq!(peer.answer().await, b"=1");
        assert_eq!(peer.answer().await.len(), 1024 + 2);
    }
}

#[tokio::test]
async fn a_file_that_was_cut_off_ends_the_connection() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    peer.request(b"F\x00\x10").await;
    let mut received = Vec::new();
    within(peer.0.read_to_end(&mut received)).await.unwrap();
    assert!(received.len() < 16 * 1024);
    server.connect().await.assert_open().await;
}

#[tokio::test]
async fn a_large_frame_in_small_steps_arrives_whole() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    let mut body: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    body[0] = b'=';
    let frame = framed(&body);
    let (mut reader, mut writer) = peer.0.split();
    let sending = async {
        for chunk in frame.chunks(70_001) {
            tokio::io::AsyncWriteExt::write_all(&mut writer, chunk).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let receiving = async {
        let mut answer = vec![0; frame.len()];
        reader.read_exact(&mut answer).await.unwrap();
        answer
    };
    let ((), answer) = within(async { tokio::join!(sending, receiving) }).await;
    assert!(answer == frame, "the echo differs");
    peer.assert_open().await;
}

#[tokio::test]
async fn idle_connections_are_closed_but_not_those_that_wait_for_an_answer() {
    let server = script(Limits { idle_timeout: SHORT, ..Limits::default() });
    let mut waiting = server.connect().await;
    waiting.request(b"?late").await;
    let started = Instant::now();
    server.connect().await.assert_closed().await;
    assert!(started.elapsed() >= SHORT);
    sleep(SHORT).await;
    server.service.complete(b"?late").await;
    assert_eq!(waiting.answer().await, b"?late");
    waiting.assert_closed().await;
}

/// B4, B5: a frame that never ends, in silence or byte by byte.
#[tokio::test]
async fn a_started_frame_must_arrive_in_time() {
    let server = script(Limits { frame_timeout: SHORT, ..Limits::default() });
    let mut silent = server.connect().await;
    silent.send(&104_857_600_i32.to_be_bytes()).await;
    silent.assert_closed().await;
    let mut slow = server.connect().await;
    let started = Instant::now();
    within(async {
        while tokio::io::AsyncWriteExt::write_all(&mut slow.0, &[0]).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(started.elapsed() < SHORT * 4);
    // A connection between frames is not concerned.
    let mut between = server.connect().await;
    between.assert_open().await;
    sleep(SHORT * 2).await;
    between.assert_open().await;
}

#[tokio::test]
async fn a_peer_that_leaves_takes_its_owed_answers_along() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    peer.request(b"?never").await;
    until(|| server.service.handled() == 1).await;
    drop(peer);
    until(|| server.service.dropped_owed.load(Ordering::SeqCst) == 1).await;
    until(|| server.network.connection_count() == 0).await;
}

#[tokio::test]
async fn answers_before_a_close_still_leave() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    for request in [&b"?1"[..], b"=2", b"x", b"=3"] {
        peer.request(request).await;
    }
    server.service.complete(b"?1").await;
    assert_eq!(peer.answer().await, b"?1");
    assert_eq!(peer.answer().await, b"=2");
    peer.assert_closed().await;
    assert_eq!(server.service.handled(), 3);
}

#[tokio::test]
async fn a_peer_that_has_sent_everything_gets_the_answers_that_are_there() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    peer.request(b"=1").await;
    tokio::io::AsyncWriteExt::shutdown(&mut peer.0).await.unwrap();
    assert_eq!(peer.answer().await, b"=1");
    peer.assert_closed().await;
}

#[tokio::test]
async fn stopping_answers_what_is_in_flight_and_takes_nothing_new() {
    let server = script(Limits::default());
    let mut idle = server.connect().await;
    idle.assert_open().await;
    let mut busy = server.connect().await;
    busy.request(b"?last").await;
    until(|| server.service.handled() == 2).await;
    let stop = tokio::spawn(server.network.stop(Duration::from_mins(1)));
    idle.assert_closed().await;
    assert!(!stop.is_finished());
    server.service.complete(b"?last").await;
    assert_eq!(busy.answer().await, b"?last");
    busy.assert_closed().await;
    within(stop).await.unwrap();
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.is_err());
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let server = script(Limits::default());
    let mut peer = server.connect().await;
    peer.request(b"?never").await;
    until(|| server.service.handled() == 1).await;
    within(server.network.stop(SHORT)).await;
    peer.assert_closed().await;
    assert_eq!(server.service.dropped_owed.load(Ordering::SeqCst), 1);
}

/// B53: the bounds on connections, and that every one of them is given back.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_bounded_and_given_back() {
    let server = script(Limits { max_connections_per_ip: 3, ..Limits::default() });
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut peer = server.connect().await;
        peer.assert_open().await;
        peers.push(peer);
    }
    server.connect().await.assert_closed().await;
    assert_eq!(server.network.connection_count(), 3);
    drop(peers);
    until(|| server.network.connection_count() == 0).await;
    server.connect().await.assert_open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_max_connections_the_next_one_waits_for_its_turn() {
    let server = script(Limits { max_connections: 1, ..Limits::default() });
    let mut first = server.connect().await;
    first.assert_open().await;
    let mut second = server.connect().await;
    second.request(b"=2").await;
    assert!(tokio::time::timeout(SHORT, second.0.readable()).await.is_err());
    drop(first);
    assert_eq!(second.answer().await, b"=2");
}

/// B53: connections that come and go, some of them after half a frame.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_connections_come_and_go() {
    let server = script(Limits::default());
    let handles = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    for round in 0..20 {
        let mut peers: Vec<Peer> = Vec::new();
        for index in 0..100 {
            let mut peer = server.connect().await;
            if index % 3 == round % 3 {
                peer.send(b"\0\0").await;
            }
            peers.push(peer);
        }
    }
    until(|| server.network.connection_count() == 0).await;
    until(|| handles() < 1_000).await;
    server.connect().await.assert_open().await;
}

/// What one connection costs while nothing happens on it. Alone in its process, since it looks at the process's memory:
/// `cargo test --test it -- --ignored five_thousand`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures the memory of the whole process"]
async fn five_thousand_idle_connections_cost_less_than_ten_kilobytes_each() {
    const CONNECTIONS: usize = 5_000;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let server = script(Limits::default());
    server.connect().await.assert_open().await;
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    };
    let before = resident();
    let mut peers: Vec<Peer> = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut peer = server.connect().await;
        peer.assert_open().await;
        peers.push(peer);
    }
    let each = (resident() - before) / CONNECTIONS;
    println!("{each} bytes for each idle connection, the client's side included");
    assert!(each < 10_000);
}
