//! A start whose port is taken says by whom.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::program::{Program, output};

/// What a start on `port` says on stderr before it ends with exit code 1.
fn refused(port: u16) -> String {
    let listen = format!("127.0.0.1:{port}");
    let output = output(&["start", "--memory", "--listen", &listen, "--set", "klamm.http.bind="]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_port_of_another_broker_is_told_with_its_process_and_cluster() {
    let program = Program::start("127.0.0.1", &["--node-id", "7"]);
    let told = refused(program.port);
    let (port, pid) = (program.port, program.pid());
    if cfg!(target_os = "linux") {
        let taken = format!("klamm: 127.0.0.1:{port} is taken by another Klamm (pid {pid}), node 7 of cluster ");
        assert!(told.starts_with(&taken), "{told}");
        assert!(
            told.contains(&format!("try: stop it (kill {pid}), or listen elsewhere: --listen localhost:")),
            "{told}"
        );
    } else {
        assert!(told.contains("is taken by another program, which speaks Kafka (node 7 of cluster "), "{told}");
    }
    assert!(told.contains("--listen localhost:0 for any free port"), "{told}");
}

#[test]
fn a_port_of_a_web_server_is_told_as_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // It may be gone by then.
            let _ = stream.read(&mut [0; 100]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let told = refused(port);
    assert!(told.contains("which does not speak Kafka, so listener PLAINTEXT cannot be opened"), "{told}");
    if cfg!(target_os = "linux") {
        assert!(told.contains(&format!("(pid {})", std::process::id())), "{told}");
    }
}

#[test]
fn a_port_of_a_program_that_says_nothing_is_told_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = std::time::Instant::now();
    let told = refused(listener.local_addr().unwrap().port());
    assert!(told.contains("which does not speak Kafka"), "{told}");
    assert!(start.elapsed().as_secs() < 10, "it waited for {:?}", start.elapsed());
}
