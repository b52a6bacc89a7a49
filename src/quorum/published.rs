//! The newest image, for everyone to read, and what has changed, for those who follow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::metadata::{MetadataDelta, MetadataImage};

/// The newest image, and the followers that are told of each change.
#[derive(Debug)]
pub(super) struct Published {
    current: ArcSwap<MetadataImage>,
    followers: Mutex<Vec<Arc<PendingChanges>>>,
}

/// What one follower has not taken yet.
#[derive(Debug, Default)]
struct PendingChanges {
    next: Mutex<Option<(MetadataDelta, Arc<MetadataImage>)>>,
    arrived: Notify,
}

impl PendingChanges {
    /// Adds what happened to what was not taken yet.
    fn push(&self, delta: MetadataDelta, image: Arc<MetadataImage>) {
        let mut next = lock(&self.next);
        *next = match next.take() {
            None => Some((delta, image)),
            Some((mut earlier, _)) => {
                earlier.extend(delta);
                Some((earlier, image))
            }
        };
        self.arrived.notify_one();
    }
}

impl Published {
    pub(super) fn new() -> Self {
        Self { current: ArcSwap::default(), followers: Mutex::default() }
    }

    pub(super) fn image(&self) -> Arc<MetadataImage> {
        self.current.load_full()
    }

    pub(super) fn subscribe(&self) -> MetadataChanges {
        // No change can be published between the image that the follower begins with and its first delta.
        let mut followers = lock(&self.followers);
        let (pending, image) = (Arc::new(PendingChanges::default()), self.image());
        pending.push(image.changed_since(&MetadataImage::default()), image);
        followers.push(Arc::clone(&pending));
        MetadataChanges { pending }
    }

    /// Publishes `image`, which is the one before with the changes that `delta` names.
    pub(super) fn publish(&self, delta: &MetadataDelta, image: MetadataImage) {
        let image = Arc::new(image);
        let mut followers = lock(&self.followers);
        self.current.store(Arc::clone(&image));
        followers.retain(|pending| Arc::strong_count(pending) > 1);
        for pending in followers.iter() {
            pending.push(delta.clone(), Arc::clone(&image));
        }
    }
}

/// One follower's queue of changes, in their order.
///
/// Changes that wait are added up, so that the queue is bounded by what there is in the cluster and nobody waits for a
/// follower that is slow. None is lost, but what comes and goes while the follower looks away is not seen.
#[derive(Debug)]
pub struct MetadataChanges {
    pending: Arc<PendingChanges>,
}

impl MetadataChanges {
    /// Waits for changes; answers what they did, and the image that they lead to. The first delta leads from the empty
    /// image to the one that was current when the follower subscribed. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> (MetadataDelta, Arc<MetadataImage>) {
        loop {
            if let Some(next) = lock(&self.pending.next).take() {
                return next;
            }
            self.pending.arrived.notified().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uuid;
    use crate::metadata::TopicRecord;

    fn create(published: &Published, number: u128) {
        let topic = TopicRecord::Topic { name: number.to_string().into(), id: Uuid::from_u128(number) };
        change(published, topic);
    }

    fn change(published: &Published, record: TopicRecord) {
        let mut image = MetadataImage::clone(&published.image());
        let mut delta = MetadataDelta::default();
        delta.note(image.replay(&record.into()).unwrap());
        image.offset += 1;
        published.publish(&delta, image);
    }

    fn told((delta, image): &(MetadataDelta, Arc<MetadataImage>)) -> String {
        let created: Vec<_> = delta.topics().created().map(|id| id.as_u128()).collect();
        let deleted: Vec<_> = delta.topics().deleted().map(|(id, _)| id.as_u128()).collect();
        format!("+{created:?} -{deleted:?} at {}", image.offset)
    }

    #[tokio::test]
    async fn a_follower_sees_each_change_once_and_in_order_however_slow_it_is() {
        let published = Published::new();
        create(&published, 1);
        let (mut quick, mut slow) = (published.subscribe(), published.subscribe());
        assert_eq!(told(&quick.next().await), "+[1] -[] at 0");
        create(&published, 2);
        assert_eq!(told(&quick.next().await), "+[2] -[] at 1");
        change(&published, TopicRecord::RemoveTopic { topic_id: Uuid::from_u128(1) });
        create(&published, 3);
        change(&published, TopicRecord::RemoveTopic { topic_id: Uuid::from_u128(3) });
        assert_eq!(told(&quick.next().await), "+[] -[1] at 4");
        assert_eq!(told(&slow.next().await), "+[2] -[] at 4");
        let waiting = tokio::spawn(async move { told(&quick.next().await) });
        tokio::task::yield_now().await;
        create(&published, 4);
        assert_eq!(waiting.await.unwrap(), "+[4] -[] at 5");
    }
}
