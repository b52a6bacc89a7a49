//! What committed entries are applied to: the published image. Snapshots are images as lists of records.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use tokio::task::spawn_blocking;

use super::controller_epoch;
use super::encoding::{decode_snapshot, encode_snapshot, invalid};
use super::log_file::write_atomically;
use super::published::Published;
use super::types::{LogId, Payload, Snapshot, SnapshotMeta, StoredMembership, Types, term};
use crate::metadata::{MetadataDelta, MetadataImage, MetadataRecord, decode_records, encode_records};

/// Where the one current snapshot is kept.
#[derive(Debug)]
pub(super) enum SnapshotStore {
    File(PathBuf),
    Memory(Mutex<Option<Bytes>>),
}

impl SnapshotStore {
    pub(super) fn new(directory: Option<&Path>) -> Self {
        match directory {
            Some(directory) => Self::File(snapshot_path(directory)),
            None => Self::Memory(Mutex::new(None)),
        }
    }

    /// The current snapshot, if there is one.
    pub(super) fn load(&self) -> io::Result<Option<Snapshot>> {
        let bytes = match self {
            Self::File(path) => match std::fs::read(path) {
                Ok(bytes) => Some(Bytes::from(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            },
            Self::Memory(snapshot) => snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        bytes.as_ref().map(decode_snapshot).transpose()
    }

    fn save(&self, snapshot: &Snapshot) -> io::Result<()> {
        let bytes = encode_snapshot(snapshot);
        match self {
            Self::File(path) => write_atomically(path, &bytes)?,
            Self::Memory(place) => *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes.into()),
        }
        Ok(())
    }
}

/// The file of the one snapshot.
pub(super) fn snapshot_path(directory: &Path) -> PathBuf {
    directory.join("snapshot")
}

/// Applies entries, one publication for as many as are committed together.
#[derive(Debug)]
pub(super) struct ImageMachine {
    published: Arc<Published>,
    snapshots: Arc<SnapshotStore>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl ImageMachine {
    pub(super) fn new(published: Arc<Published>, snapshots: Arc<SnapshotStore>) -> Self {
        Self { published, snapshots, applied: None, membership: StoredMembership::default() }
    }

    fn publish(&self, delta: &MetadataDelta, mut image: MetadataImage) {
        image.offset = self.applied.map_or(-1, |log_id| log_id.index.cast_signed());
        image.controller_epoch = self.applied.as_ref().map_or(-1, |log_id| controller_epoch(term(log_id)));
        self.published.publish(delta, image);
    }
}

/// Takes `records` into `image`, and what they do into `delta`.
fn replay(image: &mut MetadataImage, delta: &mut MetadataDelta, records: &[MetadataRecord]) -> io::Result<()> {
    for record in records {
        delta.note(image.replay(record).map_err(invalid)?);
    }
    Ok(())
}

impl RaftStateMachine<Types> for ImageMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let (mut image, mut delta) = (MetadataImage::clone(&self.published.image()), MetadataDelta::default());
        let mut responders = Vec::new();
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            self.applied = Some(entry.log_id);
            match &entry.payload {
                Payload::Blank => {}
                Payload::Normal(records) => replay(&mut image, &mut delta, &records.0)?,
                Payload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                }
            }
            responders.extend(responder);
        }
        self.publish(&delta, image);
        for responder in responders {
            responder.send(());
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            image: self.published.image(),
            meta: SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() },
            snapshots: Arc::clone(&self.snapshots),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> io::Result<()> {
        let mut image = MetadataImage::default();
        let records = decode_records(&mut &snapshot[..]).map_err(invalid)?;
        replay(&mut image, &mut MetadataDelta::default(), &records)?;
        if self.snapshots.load()?.is_none_or(|current| current.meta != *meta) {
            self.snapshots.save(&Snapshot { meta: meta.clone(), snapshot })?;
        }
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        // The snapshot's records lead from the empty image, and followers are somewhere else.
        let delta = image.changed_since(&self.published.image());
        self.publish(&delta, image);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.snapshots.load()
    }
}

/// One image on its way to become a snapshot.
#[derive(Debug)]
pub(super) struct SnapshotBuilder {
    image: Arc<MetadataImage>,
    meta: SnapshotMeta,
    snapshots: Arc<SnapshotStore>,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (image, meta) = (Arc::clone(&self.image), self.meta.clone());
        let snapshots = Arc::clone(&self.snapshots);
        let build = move || {
            let mut records = Vec::new();
            encode_records(&image.to_records(), &mut records);
            let snapshot = Snapshot { meta, snapshot: records.into() };
            snapshots.save(&snapshot).map(|()| snapshot)
        };
        spawn_blocking(build).await.map_err(io::Error::other)?
    }
}
