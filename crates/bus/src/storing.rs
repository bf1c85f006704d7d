//! Whether the broker stores what it is given. It may refuse for want of room; and it may say nothing at all, which is
//! how it takes an error of its disk (nats-server 2.14.6), while it answers everything else.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connect::Bus;

/// How long messages may go without a word of their storing: longer than the election of a leader takes, and as long as
/// one is tried again.
const PATIENCE: Duration = crate::wire::PATIENCE;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// An answer: stored, or refused for a reason of the message's own.
    Given,
    /// A refusal, because there is no room.
    NoRoom,
    /// No answer in time.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Storing,
    NoRoom,
    /// Since the first message without a word; and whether that was said.
    Silent(Instant, bool),
}

/// What was last seen of it, by all who store over one connection.
#[derive(Debug, Default)]
pub(crate) struct Storing(Mutex<State>);

/// A change worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    NoRoom,
    Silent(Duration),
    RoomAgain,
    StoresAgain,
}

impl Storing {
    /// Said once per change, not per message.
    fn note(&self, word: Word, now: Instant) -> Option<News> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *state;
        let (after, news) = match (before, word) {
            (State::Storing | State::Silent(_, false), Word::Given) => (State::Storing, None),
            (State::NoRoom, Word::Given) => (State::Storing, Some(News::RoomAgain)),
            (State::Silent(_, true), Word::Given) => (State::Storing, Some(News::StoresAgain)),
            (State::NoRoom, Word::NoRoom | Word::None) => (before, None),
            (_, Word::NoRoom) => (State::NoRoom, Some(News::NoRoom)),
            (State::Storing, Word::None) => (State::Silent(now, false), None),
            (State::Silent(_, true), Word::None) => (before, None),
            (State::Silent(since, false), Word::None) => {
                let silence = now.duration_since(since);
                match silence >= PATIENCE {
                    true => (State::Silent(since, true), Some(News::Silent(silence))),
                    false => (before, None),
                }
            }
        };
        *state = after;
        news
    }

    /// The connection was lost, so that silence says nothing of storing.
    fn forgive(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Silent(_, false)) {
            *state = State::Storing;
        }
    }
}

impl Bus {
    /// Notes what became of a message, and tells when that changes.
    pub(crate) fn note_word(&self, word: Word) {
        if word == Word::None && !self.is_connected() {
            return self.storing.forgive();
        }
        match self.storing.note(word, Instant::now()) {
            None => {}
            Some(News::NoRoom) => tracing::error!(
                "the NATS server has no room left and stores nothing: free its disk or raise `max_file_store`; \
                 work goes on by itself once it has"
            ),
            Some(News::RoomAgain) => tracing::info!("the NATS server has room again"),
            Some(News::Silent(silence)) => tracing::error!(
                "the NATS server has not stored anything for {} s and does not say why: is its disk full, broken or \
                 read-only, or are too few servers of its cluster running? Its log and /healthz tell. After an error of \
                 its disk it has to be restarted; work goes on by itself then, and nothing that was acknowledged is lost",
                silence.as_secs()
            ),
            Some(News::StoresAgain) => tracing::info!("the NATS server stores again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_once_and_so_is_its_end() {
        let storing = Storing::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(storing.note(Word::None, at(0)), None);
        assert_eq!(storing.note(Word::None, at(14)), None);
        let told = Some(News::Silent(Duration::from_secs(15)));
        assert_eq!(storing.note(Word::None, at(15)), told);
        assert_eq!(storing.note(Word::None, at(40)), None);
        assert_eq!(storing.note(Word::Given, at(41)), Some(News::StoresAgain));
        assert_eq!(storing.note(Word::Given, at(42)), None);
    }

    #[test]
    fn an_answer_or_a_lost_connection_begins_the_patience_anew() {
        let storing = Storing::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        storing.note(Word::None, at(0));
        assert_eq!(storing.note(Word::Given, at(10)), None);
        assert_eq!(storing.note(Word::None, at(20)), None);
        storing.forgive();
        assert_eq!(storing.note(Word::None, at(36)), None);
        assert_eq!(storing.note(Word::None, at(50)), None);
        assert!(storing.note(Word::None, at(51)).is_some());
    }

    #[test]
    fn want_of_room_is_told_once_and_silence_does_not_end_it() {
        let storing = Storing::default();
        let now = Instant::now();
        assert_eq!(storing.note(Word::NoRoom, now), Some(News::NoRoom));
        assert_eq!(storing.note(Word::NoRoom, now), None);
        assert_eq!(storing.note(Word::None, now), None);
        assert_eq!(storing.note(Word::Given, now), Some(News::RoomAgain));
    }
}
