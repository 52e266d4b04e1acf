//! Work that many need at the same time and one does: connecting, asking a cluster where its slots are.
//!
//! A task of its own does it. Whoever waits for it may stop waiting, or not be polled for a while (a read
//! that stays under way while its reader does something else), and keeps nobody from it: under a lock that
//! is held across the work, everybody would wait for that one.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// What the task under way will say; nothing where none is.
type Told<T> = Option<watch::Receiver<Option<T>>>;

/// One piece of work, done once for all who need it at the same time.
pub(super) struct Joint<T>(Arc<Mutex<Told<T>>>);

impl<T> Default for Joint<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + Send + Sync + 'static> Joint<T> {
    /// Waits for what comes of the work under way, or of `begin` where there is none. `None` where the work
    /// broke off: by a panic, or with its runtime.
    pub(super) async fn done<F>(&self, begin: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut told = self.join(begin);
        let done = told.wait_for(Option::is_some).await;
        done.ok().and_then(|done| done.clone())
    }

    fn join<F>(&self, begin: impl FnOnce() -> F) -> watch::Receiver<Option<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut under_way = lock(&self.0);
        // Closed where the work broke off.
        if let Some(told) = under_way.as_ref().filter(|told| told.has_changed().is_ok()) {
            return told.clone();
        }
        let (tell, told) = watch::channel(None);
        *under_way = Some(told.clone());
        drop(under_way);
        let (work, place) = (begin(), Arc::clone(&self.0));
        tokio::spawn(async move {
            let done = work.await;
            // Whoever comes from now on needs it done anew.
            *lock(&place) = None;
            tell.send_replace(Some(done));
        });
        told
    }
}

fn lock<T>(told: &Mutex<Told<T>>) -> MutexGuard<'_, Told<T>> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn one_does_it_for_all_also_when_it_is_not_polled() {
        let (joint, go, times) = (Joint::default(), Arc::new(Notify::new()), AtomicU32::new(0));
        let begin = || {
            let n = times.fetch_add(1, Ordering::Relaxed);
            let go = Arc::clone(&go);
            async move {
                go.notified().await;
                n
            }
        };
        let mut first = Box::pin(joint.done(begin));
        assert_eq!((&mut first).now_or_never(), None);
        go.notify_one();
        // The first asks no more, and the second has its answer.
        assert_eq!(joint.done(begin).await, Some(0));
        assert_eq!(first.await, Some(0));
        go.notify_one();
        assert_eq!(joint.done(begin).await, Some(1));
    }

    #[tokio::test]
    async fn work_that_breaks_off_is_begun_anew() {
        let joint = Joint::<u32>::default();
        assert_eq!(
            joint.done(|| async { panic!("broken on purpose") }).await,
            None
        );
        assert_eq!(joint.done(|| async { 7 }).await, Some(7));
    }
}
