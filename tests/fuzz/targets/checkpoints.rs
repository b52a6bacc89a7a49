//! Any bytes as what a data directory says about itself: `meta.properties`, checkpoints, the metadata log and its records.
//!
//! The first byte says whether checksums are mended; the rest are files.

#![no_main]

use std::path::Path;

use klamm::metadata::{MetadataImage, decode_records, encode_records};
use klamm_fuzz::files;
use klamm_fuzz::log::{self, facts};
use klamm_fuzz::names::{CHECKPOINTS, METADATA_LOG, METADATA_RECORDS, METADATA_SNAPSHOT};
use klamm_fuzz::quorum::open_and_stop;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&flags, input)) = input.split_first() else { return };
    let mut content = files::unpack(CHECKPOINTS, input);
    if flags & 1 != 0 {
        files::mend(&mut content);
    }
    if let Some(records) = content.remove(METADATA_RECORDS) {
        replay_records(&records);
    }
    let dir = log::temporary_dir();
    files::write(dir.path(), &content);
    load_logs(dir.path());
    if content.contains_key(METADATA_LOG) || content.contains_key(METADATA_SNAPSHOT) {
        open_metadata(&dir.path().join("metadata"));
    }
});

/// Replays as many of the records as can be; the image's own records are read again as they were written, and make the
/// same image.
fn replay_records(mut bytes: &[u8]) {
    let Ok(records) = decode_records(&mut bytes) else { return };
    let mut image = MetadataImage::default();
    let _ = records.iter().try_for_each(|record| image.replay(record).map(drop));
    let mut encoded = Vec::new();
    encode_records(&image.to_records(), &mut encoded);
    let decoded = decode_records(&mut &encoded[..]).expect("what was written is read");
    assert_eq!(decoded, image.to_records());
    let mut again = MetadataImage::default();
    decoded.iter().try_for_each(|record| again.replay(record).map(drop)).expect("an image's records make an image");
    assert_eq!(again, image);
}

/// Loads the partition, and loads the same after a stop.
fn load_logs(path: &Path) {
    let Ok(opened) = log::open(path) else { return };
    let Ok(Some(mut log)) = log::load(&opened) else { return };
    let before = facts(&mut log);
    if log::stop(&opened, &mut log).is_err() {
        return;
    }
    let identity = (opened.cluster_id().to_owned(), opened.directory_id());
    drop((log, opened));
    let opened = log::open(path).expect("a directory that was opened is opened again");
    assert_eq!((opened.cluster_id().to_owned(), opened.directory_id()), identity);
    let mut log = log::load(&opened).expect("a partition that was loaded is loaded again").expect("it is there");
    assert_eq!(facts(&mut log), before, "a stop and a start changed the log");
}

/// Opens the metadata log, and finds the same metadata when it is opened again.
fn open_metadata(path: &Path) {
    let Ok(image) = open_and_stop(path, Vec::new()) else { return };
    let again = open_and_stop(path, Vec::new()).expect("a metadata log that was opened is opened again");
    assert_eq!(again.to_records(), image.to_records());
}
