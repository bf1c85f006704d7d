use std::sync::Arc;
use std::time::{Duration, Instant};

use model::task::TaskKind;

use super::attempt::Post;

/// Sees how tasks go. It is called for every delivery, so it must be quick and never wait.
pub trait Observer: Send + Sync {
    /// A delivery is worked on from now on. `waited` is how long its message lay ready before anybody took it, by two
    /// clocks; it is known for the first delivery only.
    fn began(&self, kind: TaskKind, attempt: u32, waited: Option<Duration>);

    /// It is worked on no more.
    fn ended(&self, kind: TaskKind, end: End, took: Duration);
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Its task is done.
    Done,
    /// It comes again.
    Again,
    /// It became a dead letter.
    Dead,
    /// It was cut off: the runtime ended.
    Aborted,
}

impl End {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Done, Self::Again, Self::Dead, Self::Aborted];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Again => "again",
            Self::Dead => "dead",
            Self::Aborted => "aborted",
        }
    }
}

/// A delivery that is being worked on. Its end is told even when it is cut off.
pub(super) struct Observed {
    post: Arc<Post>,
    begun: Instant,
    end: End,
}

impl Observed {
    pub(super) fn begin(post: &Arc<Post>, attempt: u32, waited: Option<Duration>) -> Self {
        for observer in &post.observers {
            observer.began(post.kind, attempt, waited);
        }
        Self {
            post: Arc::clone(post),
            begun: Instant::now(),
            end: End::Aborted,
        }
    }

    pub(super) fn ended(mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        for observer in &self.post.observers {
            observer.ended(self.post.kind, self.end, self.begun.elapsed());
        }
    }
}
