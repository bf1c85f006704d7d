//! Whether a stream can be followed from where the file stands. Pure.

use bus::StreamState;
use jiff::Timestamp;

use crate::history::Position;

/// Where following begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// After the message with this number.
    GoOn(u64),
    /// With the oldest message.
    Anew {
        /// Why the position is of no use; `None`: there is none.
        why: Option<&'static str>,
    },
}

/// Decides where to begin. `stored` is when the message at the position was stored, if the stream still has it.
pub(super) fn decide(
    state: &StreamState,
    position: Option<&Position>,
    stored: Option<Timestamp>,
) -> Decision {
    let Some(position) = position else {
        return Decision::Anew { why: None };
    };
    let anew = |why| Decision::Anew { why: Some(why) };
    if position.stream_created != state.created {
        return anew("the stream was created at another time");
    }
    if state.last < position.sequence {
        return anew("the stream was set back: it ends before the last message that was followed");
    }
    if stored.is_some() && stored != position.stored_at {
        return anew(
            "the stream was set back: another message has the number of the last one that was followed",
        );
    }
    Decision::GoOn(position.sequence)
}

/// Whether a stream that is being followed is not the same any more.
pub(super) fn is_another(state: &StreamState, position: Option<&Position>) -> bool {
    matches!(
        decide(state, position, None),
        Decision::Anew { why: Some(_) }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const STATE: StreamState = StreamState {
        created: Timestamp::UNIX_EPOCH,
        first: 5,
        last: 20,
    };

    fn position(sequence: u64) -> Position {
        Position {
            stream_created: Timestamp::UNIX_EPOCH,
            sequence,
            stored_at: Some(at(sequence.cast_signed())),
        }
    }

    #[test]
    fn a_file_that_follows_this_stream_goes_on() {
        for sequence in [1, 5, 20] {
            let decision = decide(&STATE, Some(&position(sequence)), None);
            assert_eq!(decision, Decision::GoOn(sequence));
        }
        let decision = decide(&STATE, Some(&position(20)), Some(at(20)));
        assert_eq!(decision, Decision::GoOn(20));
        assert!(!is_another(&STATE, Some(&position(20))));
    }

    #[test]
    fn a_file_that_followed_nothing_begins_with_the_oldest() {
        assert_eq!(decide(&STATE, None, None), Decision::Anew { why: None });
        assert!(!is_another(&STATE, None));
    }

    #[test]
    fn another_stream_or_one_that_was_set_back_is_followed_anew() {
        let other = Position {
            stream_created: at(1),
            ..position(20)
        };
        let cases = [
            (other, None),
            (position(21), None),
            (position(20), Some(at(19))),
        ];
        for (position, stored) in cases {
            let decision = decide(&STATE, Some(&position), stored);
            assert!(
                matches!(decision, Decision::Anew { why: Some(_) }),
                "{position:?}"
            );
        }
        assert!(is_another(&STATE, Some(&position(21))));
    }
}
