//! Dead letters: what a person does about a message that could not succeed.

use std::error::Error;

use bus::Outgoing;
use bus::dead::{self, Kept};
use jiff::Timestamp;
use model::action::{Action, Deed, Letter};
use model::cycle::Origin;
use model::name::RackName;
use model::subject::Subject;
use model::task::{Place, Resume, Submit, Task, Tick, Watch};

use crate::{Ledger, LedgerError, outgoing};

/// The header that says which armed message a message came out of.
const SCHEDULER: &str = "Nats-Scheduler";

/// Who does something about a dead letter, why and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub by: String,
    /// Why; empty when they did not say.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// What became of a dead letter that was to be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// Its message is back with the workers, and the letter is gone. With what the person should know of it.
    Done(Option<String>),
    /// The letter stays, and why.
    Stays(String),
}

/// Why a dead letter's message could never succeed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfit(String);

fn unfit(error: impl Error) -> Unfit {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    Unfit(text)
}

impl Ledger {
    /// Gives a dead letter's message back to the workers, tells it, and drops the letter. Repeating it is harmless: the
    /// message has one id for ever, and what it is about keeps its identity.
    ///
    /// # Errors
    /// When the broker does not do its part; then the letter stays.
    pub async fn replay(&self, kept: &Kept, person: &Person) -> Result<Replayed, LedgerError> {
        let Again { message, caution } = match again(kept, person.at) {
            Ok(again) => again,
            Err(Unfit(why)) => return Ok(Replayed::Stays(why)),
        };
        // The letter goes last: a crash in between leaves it there, and the id keeps a second replay from being a
        // second message.
        self.bus().publish(message).await?;
        let letter = letter(kept);
        self.tell_of(kept, person, Deed::Replayed { letter })
            .await?;
        dead::drop(self.bus(), kept.sequence).await?;
        Ok(Replayed::Done(caution))
    }

    /// Drops a dead letter for good, and tells it where it is about a rack. False when it is gone already.
    ///
    /// # Errors
    /// When the broker does not say that it is gone; it may be all the same.
    pub async fn drop_letter(&self, kept: &Kept, person: &Person) -> Result<bool, LedgerError> {
        let dropped = dead::drop(self.bus(), kept.sequence).await?;
        if dropped {
            let letter = letter(kept);
            let told = self.tell_of(kept, person, Deed::Dropped { letter }).await;
            if let Err(error) = told {
                tracing::warn!(
                    "that dead letter {} was dropped is told by no event: {error}",
                    kept.sequence
                );
            }
        }
        Ok(dropped)
    }

    async fn tell_of(&self, kept: &Kept, person: &Person, deed: Deed) -> Result<(), LedgerError> {
        let Some(rack) = rack_of(kept) else {
            return Ok(());
        };
        let action = Action {
            at: person.at,
            by: person.by.clone(),
            why: person.why.clone(),
            deed,
        };
        self.tell(&rack, &action).await
    }
}

fn letter(kept: &Kept) -> Letter {
    Letter {
        number: kept.sequence,
        subject: kept.letter.subject.clone(),
        reason: kept.letter.reason.clone(),
        at: kept.letter.at,
    }
}

/// The rack that a dead letter is about; `None` when nothing in it names one.
fn rack_of(kept: &Kept) -> Option<RackName> {
    match kept.letter.subject.parse::<Subject>().ok()? {
        Subject::Tick => Some(Tick::parse(&kept.letter.body.bytes()?).ok()?.rack),
        Subject::Submit { rack, .. } | Subject::Watch { rack, .. } => Some(rack),
        _ => None,
    }
}

/// A dead letter's message, once more.
struct Again {
    message: Outgoing,
    /// What the person should know of it.
    caution: Option<String>,
}

/// The message that a dead letter was, once more. Whatever it is about keeps its identity.
fn again(kept: &Kept, now: Timestamp) -> Result<Again, Unfit> {
    let letter = &kept.letter;
    let mut caution = None;
    let body = letter
        .body
        .bytes()
        .ok_or_else(|| Unfit("its body was too large to be kept whole".into()))?;
    let message = match letter.subject.parse::<Subject>().map_err(unfit)? {
        Subject::Tick => {
            let (tick, resume) = tick(kept, &body)?;
            let resume = match resume.origin {
                // A person wants it now. By the old time, it would be too late for that after an hour.
                Origin::Manual { .. } => Resume {
                    ticked_at: now,
                    ..resume
                },
                Origin::Slot { slot } => {
                    caution = Some(late(&tick.rack, slot));
                    resume
                }
            };
            let cycle = resume.cycle;
            let tick = Tick {
                resume: Some(resume),
                ..tick
            };
            outgoing(Subject::Tick, &tick).of_cycle(cycle)
        }
        subject @ Subject::Submit { .. } => {
            // There may have been attempts: whoever takes it asks Testflinger first.
            let submit = Submit {
                swept: true,
                ..Submit::parse(&body).map_err(unfit)?
            };
            outgoing(subject, &submit).of_cycle(submit.cycle)
        }
        subject @ Subject::Watch { .. } => {
            // Somebody may have asked to cancel since: whoever takes it reads the claim.
            let watch = Watch {
                deadline: None,
                ..Watch::parse(&body).map_err(unfit)?
            };
            outgoing(subject, &watch).of_cycle(watch.cycle)
        }
        other => return Err(Unfit(format!("nobody takes messages on {other}"))),
    };
    Ok(Again {
        message: message.with_id(format!("replay.{}.{}", kept.sequence, letter.at)),
        caution,
    })
}

/// What becomes of a slot's tick that comes too late, and what to do then.
fn late(rack: &RackName, slot: Timestamp) -> String {
    format!(
        "is the tick of rack {rack} for slot {slot}: past the slot's catch-up window it is reported missed and \
         deploys nothing (`racktick tick {rack}` starts a cycle now)"
    )
}

/// A tick, and under which cycle it goes on: the one it had.
fn tick(kept: &Kept, body: &[u8]) -> Result<(Tick, Resume), Unfit> {
    let letter = &kept.letter;
    let mut tick = Tick::parse(body).map_err(unfit)?;
    if let Some(resume) = tick.resume.take() {
        if tick.cycle_of(&resume) != Some(resume.cycle) {
            return Err(Unfit(format!(
                "nothing in it shows that {} is a cycle of rack {}, so no worker would take it (`racktick tick {}` starts one)",
                resume.cycle, tick.rack, tick.rack
            )));
        }
        return Ok((tick, resume));
    }
    let scheduler = letter
        .headers
        .get(SCHEDULER)
        .and_then(|values| values.first())
        .map(|subject| subject.parse::<Subject>())
        .transpose()
        .map_err(unfit)?;
    let place = kept.stream_created.map(|stream_created| Place {
        stream_created,
        sequence: letter.sequence,
        stored_at: letter.stored_at,
    });
    let resume = tick
        .first_attempt(scheduler.as_ref(), letter.stored_at, place)
        .map_err(unfit)?;
    Ok((tick, resume))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use model::dead::{Body, DeadLetter};
    use model::id::{CycleId, JobId};
    use model::name::MachineName;
    use model::task::Pace;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn kept(subject: &str, body: &[u8], headers: &[(&str, &str)]) -> Kept {
        Kept {
            sequence: 7,
            stream_created: Some(time("2026-11-01T00:00:00Z")),
            letter: DeadLetter {
                v: DeadLetter::VERSION,
                subject: subject.into(),
                stream: "RACK".into(),
                sequence: 42,
                stored_at: time("2026-11-21T06:00:01Z"),
                headers: headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]))
                    .collect::<BTreeMap<_, _>>(),
                body: Body::of(body),
                reason: "tried too often".into(),
                attempts: 9,
                at: time("2026-11-21T07:00:00Z"),
                by: "w1".into(),
            },
        }
    }

    const NOW: &str = "2026-11-25T09:00:00Z";

    fn resumed(kept: &Kept) -> Resume {
        let body = again(kept, time(NOW)).unwrap().message.body;
        Tick::parse(&body).unwrap().resume.unwrap()
    }

    #[test]
    fn a_replayed_tick_keeps_its_cycle() {
        let rack = RackName::new("r7").unwrap();
        let slot = time("2026-11-21T06:00:00Z");
        let scheduled = resumed(&kept(
            "rack.tick",
            b"r7",
            &[(SCHEDULER, "rack.schedule.r7.20261121T060000Z")],
        ));
        assert_eq!(scheduled.cycle, CycleId::of_slot(&rack, slot));
        assert_eq!(scheduled.origin, Origin::Slot { slot });

        let manual = kept("rack.tick", b"r7\n", &[]);
        let (created, stored) = (time("2026-11-01T00:00:00Z"), time("2026-11-21T06:00:01Z"));
        assert_eq!(
            resumed(&manual).cycle,
            CycleId::of_message(&rack, created, 42, stored)
        );

        let before = resumed(&manual);
        let again = Tick {
            resume: Some(Resume {
                attempt: 5,
                ..before.clone()
            }),
            ..Tick::of(rack)
        };
        let body = serde_json::to_vec(&again).unwrap();
        assert_eq!(
            resumed(&kept("rack.tick", &body, &[])),
            Resume {
                attempt: 5,
                ..before
            }
        );
    }

    #[test]
    fn a_replayed_tick_keeps_its_nonce() {
        let rack = RackName::new("r7").unwrap();
        let nonce = uuid::Uuid::from_u128(7);
        let tick = Tick {
            nonce: Some(nonce),
            ..Tick::of(rack.clone())
        };
        let body = serde_json::to_vec(&tick).unwrap();
        let message = again(&kept("rack.tick", &body, &[]), time(NOW)).unwrap();
        let replayed = Tick::parse(&message.message.body).unwrap();
        let resume = replayed.resume.clone().unwrap();
        assert_eq!(resume.cycle, CycleId::of_request(&rack, nonce));
        assert_eq!(replayed.cycle_of(&resume), Some(resume.cycle));
    }

    #[test]
    fn whoever_takes_a_replayed_submit_or_look_asks_before_acting() {
        let rack = RackName::new("r7").unwrap();
        let machine = MachineName::new("m1").unwrap();
        let cycle = CycleId::of_slot(&rack, time("2026-11-21T06:00:00Z"));
        let hour = Duration::from_secs(3600);
        let submit = Submit {
            v: Submit::VERSION,
            job: JobId::of(cycle, &machine),
            rack,
            machine,
            cycle,
            decided_at: time("2026-11-21T06:00:00Z"),
            deploy_by: time("2026-11-21T07:00:00Z"),
            pace: Pace {
                first_look: hour,
                look_every: hour,
                deadline: hour,
            },
            document: serde_json::Value::Null,
            swept: false,
            traceparent: None,
        };
        let watch = Watch {
            deadline: Some(time("2026-11-21T10:00:00Z")),
            ..submit.first_look()
        };
        let replayed = |subject, body: serde_json::Result<Vec<u8>>| {
            let kept = kept(subject, &body.unwrap(), &[]);
            again(&kept, time(NOW)).unwrap().message.body
        };
        let body = replayed("task.submit.r7.m1", serde_json::to_vec(&submit));
        let swept = Submit {
            swept: true,
            ..submit
        };
        assert_eq!(Submit::parse(&body).unwrap(), swept);
        let body = replayed("task.watch.r7.m1", serde_json::to_vec(&watch));
        let without = Watch {
            deadline: None,
            ..watch
        };
        assert_eq!(Watch::parse(&body).unwrap(), without);
    }

    #[test]
    fn every_letter_has_an_id_of_its_own_for_its_message() {
        let id = |kept: &Kept| again(kept, time(NOW)).unwrap().message.id.unwrap();
        let letter = kept("rack.tick", b"r7", &[]);
        let next = Kept {
            sequence: 8,
            ..letter.clone()
        };
        assert_eq!(id(&letter), id(&letter.clone()));
        assert_ne!(id(&letter), id(&next));
        // A stream that was made anew counts from 1 again.
        let mut later = letter.clone();
        later.letter.at = time(NOW);
        assert_ne!(id(&letter), id(&later));
    }

    #[test]
    fn a_tick_that_names_a_cycle_of_nowhere_is_not_replayed() {
        let rack = RackName::new("r7").unwrap();
        let tick = Tick {
            resume: Some(Resume {
                place: None,
                ..resumed(&kept("rack.tick", b"r7", &[]))
            }),
            ..Tick::of(rack)
        };
        let body = serde_json::to_vec(&tick).unwrap();
        let error = again(&kept("rack.tick", &body, &[]), time(NOW))
            .err()
            .unwrap();
        assert!(error.to_string().contains("racktick tick r7"), "{error}");
    }

    #[test]
    fn what_could_never_succeed_is_not_replayed() {
        for (subject, body) in [
            ("rack.tick", &b"r 7"[..]),
            ("task.submit.r7.m1", b"{}"),
            ("event.cycle.r7.started", b"{}"),
            ("elsewhere", b"r7"),
        ] {
            let kept = kept(subject, body, &[]);
            assert!(again(&kept, time(NOW)).is_err(), "{subject}");
        }
        let foreign = kept(
            "rack.tick",
            b"r7",
            &[(SCHEDULER, "rack.schedule.r8.20261121T060000Z")],
        );
        assert!(again(&foreign, time(NOW)).is_err());
    }

    #[test]
    fn a_manual_tick_is_replayed_as_of_now_and_a_slot_as_of_its_time_with_a_caution() {
        let manual = kept("rack.tick", b"r7", &[]);
        assert_eq!(resumed(&manual).ticked_at, time(NOW));
        assert!(again(&manual, time(NOW)).unwrap().caution.is_none());

        let published = Tick {
            resume: Some(Resume {
                ticked_at: time("2026-11-21T06:00:00Z"),
                ..resumed(&manual)
            }),
            ..Tick::of(RackName::new("r7").unwrap())
        };
        let body = serde_json::to_vec(&published).unwrap();
        assert_eq!(resumed(&kept("rack.tick", &body, &[])).ticked_at, time(NOW));

        let slot = kept(
            "rack.tick",
            b"r7",
            &[(SCHEDULER, "rack.schedule.r7.20261121T060000Z")],
        );
        assert_eq!(resumed(&slot).ticked_at, time("2026-11-21T06:00:01Z"));
        let caution = again(&slot, time(NOW)).unwrap().caution.unwrap();
        for wanted in ["slot 2026-11-21T06:00:00Z", "missed", "racktick tick r7"] {
            assert!(caution.contains(wanted), "{wanted} in {caution}");
        }
    }
}
