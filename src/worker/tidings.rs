//! What the pool is told by the others of the house: where to look, what to hand back, where it is dead.

use super::House;
use super::wakeup::News;

impl House {
    /// This worker is dead in a partition: its jobs there belong to others, it goes on as a new one.
    pub(super) fn lost(&self, partition: u16, worker: &str) {
        tracing::warn!(
            worker,
            partition,
            "worker {worker} was taken for dead, going on as a new one"
        );
        self.running.stop_dead(partition, worker);
        self.identity.renew(partition, worker);
    }

    fn news(&self) -> std::sync::MutexGuard<'_, Vec<News>> {
        self.news
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut *self.news())
    }

    /// Says where the pool has to look.
    pub(super) fn tell(&self, news: News) {
        self.news().push(news);
        self.stirred.notify_one();
    }

    /// Partitions whose pending list is to be looked at. Adding one here wakes nobody.
    pub(super) fn hand_backs(&self) -> std::sync::MutexGuard<'_, Vec<u16>> {
        self.hand_back
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn take_hand_backs(&self) -> Vec<u16> {
        std::mem::take(&mut *self.hand_backs())
    }

    pub(super) fn ask_hand_back(&self, partition: u16) {
        self.hand_backs().push(partition);
        self.look_again.notify_one();
    }
}
