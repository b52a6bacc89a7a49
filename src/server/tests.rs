//! Starts that fail.

use tokio::runtime::Handle;

use super::*;

const STEPS: [Step; 9] = [
    Step::Bound,
    Step::LogDirOpened,
    Step::MetadataOpened,
    Step::LogsLoaded,
    Step::ControllerStarted,
    Step::Registered,
    Step::BackgroundStarted,
    Step::PartitionsHosted,
    Step::Serving,
];

/// Waits until no more tasks live than `wanted`: one that was told to end may have its last turn yet.
async fn assert_tasks(wanted: usize, after: Step) {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    for _ in 0..500 {
        if tasks() <= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} tasks are left after {after:?}", tasks() - wanted);
}

#[tokio::test]
async fn a_start_that_fails_at_any_step_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    // A port of one's own, so that a listener that stays is noticed.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let listener = format!("PLAINTEXT://127.0.0.1:{port}");
    let path = directory.path().display().to_string();
    let config = || {
        let http = ("klamm.http.bind", "127.0.0.1:0");
        Config::with(&[("listeners", &*listener), ("log.dirs", &*path), http]).expect("it is fine")
    };
    let before = Handle::current().metrics().num_alive_tasks();
    for failing in STEPS {
        let watch = move |step| {
            if step == failing { Err(StartError::Metadata { reason: format!("{step:?}") }) } else { Ok(()) }
        };
        let refused = Server::start_watched(config(), Surroundings::default(), &watch).await.err().expect("it goes on");
        assert!(refused.to_string().ends_with(&format!("{failing:?}")), "{refused}");
        assert_tasks(before, failing).await;
        let server = Server::start(config()).await.expect("the second start");
        server.stop().await.expect("a clean stop");
        assert_tasks(before, failing).await;
    }
}
