//! Transactions across the deaths of their broker: each has one outcome, in all of its partitions, and those that were told
//! of it were told the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use klamm::protocol::control_records::TransactionResult;

use crate::broker::{Broker, Client, Topic, topic_name};
use crate::restart::Mortal;
use crate::server::within;
use crate::transactions::{Identity, V2, add_request, describe, end_request, init, markers};

const IDS: [&str; 4] = ["a", "b", "c", "d"];
const PARTITIONS: [(&str, i32); 3] = [("t", 0), ("t", 1), ("u", 0)];
const CRASHES: u64 = 6;

const CONCURRENT_TRANSACTIONS: i16 = 51;

/// The producer ids and epochs of markers, with the outcomes that were told.
type Told = Arc<Mutex<BTreeMap<(i64, i16), bool>>>;

/// Has one transaction after the other until the broker is gone; every third is aborted.
async fn work(mut client: Client, mut current: Identity, told: Told) {
    for number in 0.. {
        loop {
            let Ok(response) = client.0.call_at(V2, &add_request(V2, current, &PARTITIONS)).await else { return };
            let topics = &response.results_by_transaction[0].topic_results;
            match topics[0].results_by_partition[0].partition_error_code {
                0 => break,
                CONCURRENT_TRANSACTIONS => tokio::task::yield_now().await,
                code => panic!("{current:?}: {code}"),
            }
        }
        let commits = number % 3 != 0;
        let Ok(response) = client.0.call_at(V2, &end_request(current, commits)).await else { return };
        assert_eq!(response.error_code, 0, "{current:?}");
        assert_eq!((response.producer_id.0, response.producer_epoch), (current.producer_id, current.epoch + 1));
        current = current.at(response.producer_epoch);
        told.lock().unwrap().insert((current.producer_id, current.epoch), commits);
    }
}

async fn work_until_it_dies(directory: &Path, told: &Told, time: Duration) {
    let mortal = Mortal::on(directory).await;
    let mut workers = Vec::new();
    for id in IDS {
        let mut client = mortal.broker.client().await;
        let current = init(&mut client, id).await;
        workers.push(tokio::spawn(work(client, current, Arc::clone(told))));
    }
    tokio::time::sleep(time).await;
    mortal.kill().await;
    for worker in workers {
        within(worker).await.unwrap();
    }
}

/// What each partition says of each transaction, by the producer id and the epoch of its markers.
async fn outcomes(broker: &Broker) -> [BTreeMap<(i64, i16), BTreeSet<bool>>; 3] {
    let mut client = broker.client().await;
    let mut outcomes = [const { BTreeMap::new() }; 3];
    for (outcomes, (name, partition)) in outcomes.iter_mut().zip(PARTITIONS) {
        let image = broker.0.broker().image();
        let topic = Topic { name: topic_name(name), id: image.topic(name).unwrap().id };
        let mut newest = BTreeMap::new();
        for (result, producer_id, epoch, _) in markers(&mut client, &topic, partition).await {
            let last = newest.insert(producer_id, epoch).unwrap_or(epoch);
            assert!(last <= epoch, "a marker of epoch {epoch} came after one of {last}");
            let transaction: &mut BTreeSet<_> = outcomes.entry((producer_id, epoch)).or_default();
            transaction.insert(result == TransactionResult::Commit);
        }
    }
    outcomes
}

#[tokio::test]
async fn every_transaction_has_one_outcome_whenever_the_broker_dies() {
    let directory = tempfile::tempdir().unwrap();
    let told = Told::default();
    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    for name in ["t", "u"] {
        client.create_topic(name, 2, &[]).await;
    }
    broker.stop().await;
    for crash in 0..CRASHES {
        work_until_it_dies(directory.path(), &told, Duration::from_millis(20 + 17 * crash)).await;
    }
    let broker = Broker::on(directory.path()).await;
    let mut client = broker.client().await;
    for id in IDS {
        // A new producer ends what was open, and comes when everything has ended.
        init(&mut client, id).await;
        assert_eq!(describe(&mut client, id).await.transaction_state.as_str(), "Empty");
    }
    let [first, others @ ..] = outcomes(&broker).await;
    for other in others {
        assert_eq!(other, first, "partitions disagree");
    }
    assert!(first.values().all(|outcomes| outcomes.len() == 1), "{first:?}");
    let told = told.lock().unwrap().clone();
    for (transaction, commits) in &told {
        assert_eq!(first.get(transaction), Some(&[*commits].into()), "{transaction:?}");
    }
    assert!(told.len() > 20 && told.values().any(|commits| !commits), "{}", told.len());
    broker.stop().await;
}
