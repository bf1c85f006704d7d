//! Whose turn it is. An answer that is being made takes a processor, and memory for all that it tells: no more of them
//! are made at once than there are processors, and what several wait for is made once for all of them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The right to make an answer, until it is dropped.
pub(super) struct Turn(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// Who may make an answer now. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::of(processors)
    }
}

impl Turns {
    fn of(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// Waits for a turn; those who wait get theirs one after the other.
    pub(super) async fn next(&self) -> Turn {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        Turn(turn.expect("it is never closed"))
    }
}

/// What is waited for, by a name of it. Cheap to clone.
pub(super) struct Awaited<T>(Arc<Mutex<ByName<T>>>);

type ByName<T> = HashMap<String, WeakShared<BoxFuture<'static, T>>>;

impl<T> Default for Awaited<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Awaited<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Awaited<T> {
    fn all(&self) -> MutexGuard<'_, ByName<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone + Send + Sync + 'static> Awaited<T> {
    /// What is made when its turn comes: the same for all who ask for it until then, so that nobody is told less than
    /// what was true when they asked.
    pub(super) async fn get<F>(
        &self,
        name: String,
        turns: &Turns,
        make: impl FnOnce(Turn) -> F + Send + 'static,
    ) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.making(name, turns, make).await
    }

    fn making<F>(
        &self,
        name: String,
        turns: &Turns,
        make: impl FnOnce(Turn) -> F + Send + 'static,
    ) -> Shared<BoxFuture<'static, T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut all = self.all();
        if let Some(making) = all.get(&name).and_then(WeakShared::upgrade) {
            return making;
        }
        let (turns, waiting) = (turns.clone(), Waiting(self.clone(), name.clone()));
        let making = async move {
            let turn = turns.next().await;
            drop(waiting);
            make(turn).await
        };
        let making = making.boxed().shared();
        all.extend(making.downgrade().map(|weak| (name, weak)));
        making
    }
}

/// It can be waited for, until this is dropped: when its making begins, or nobody waits any more.
struct Waiting<T>(Awaited<T>, String);

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.0.all().remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::watch;
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn no_more_have_a_turn_than_there_are() {
        let turns = Turns::of(2);
        let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut asking = JoinSet::new();
        for _ in 0..20 {
            let (turns, at_once, most) = (turns.clone(), at_once.clone(), most.clone());
            asking.spawn(async move {
                let turn = turns.next().await;
                most.fetch_max(1 + at_once.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                yield_now().await;
                at_once.fetch_sub(1, Ordering::SeqCst);
                drop(turn);
            });
        }
        asking.join_all().await;
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_several_wait_for_is_made_once_after_all_of_them_asked() {
        let (turns, awaited) = (Turns::of(1), Awaited::default());
        // What is true, as of which the answers are made.
        let (truth, seen) = watch::channel(1);
        let ask = || {
            let seen = seen.clone();
            awaited.making("it".into(), &turns, move |turn| async move {
                let answer = *seen.borrow();
                yield_now().await;
                drop(turn);
                (answer, Arc::new(()))
            })
        };
        let turn = turns.next().await;
        let (mut first, second) = (ask(), ask());
        assert_eq!((&mut first).now_or_never(), None);
        truth.send_replace(2);
        let third = ask();
        drop(turn);
        assert_eq!((&mut first).now_or_never(), None, "it is being made");
        truth.send_replace(3);
        let fourth = ask();
        // The one who asked first does not wait any more.
        drop(first);
        let (second, third, fourth) = tokio::join!(second, third, fourth);
        assert_eq!((second.0, third.0, fourth.0), (2, 2, 3));
        assert!(Arc::ptr_eq(&second.1, &third.1));
        assert!(awaited.all().is_empty());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_forgotten() {
        let (turns, awaited) = (Turns::of(1), Awaited::default());
        let turn = turns.next().await;
        let mut alone = awaited.making("it".into(), &turns, async |_| 1);
        assert_eq!((&mut alone).now_or_never(), None);
        drop(alone);
        assert!(awaited.all().is_empty());
        drop(turn);
        assert_eq!(awaited.get("it".into(), &turns, async |_| 2).await, 2);
    }
}
