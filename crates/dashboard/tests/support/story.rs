//! Events as racktick publishes them: cycles of racks whose machines pass, fail, are left alone, and so on.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::cycle::{MissedCause, Origin};
use model::event::{Event, Fact, Job};
use model::evidence::Keeping;
use model::id::{CycleId, JobId};
use model::image::Image;
use model::machine::{CancelCause, CancelRequest};
use model::name::{MachineName, RackName};
use model::outcome::{Counts, FailCause, LostCause, Outcome, Phase, Skip, SkipReason};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

/// How large a story is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub racks: usize,
    pub machines: usize,
    pub cycles: usize,
}

/// Tells stories. The same seed tells the same.
pub struct Teller {
    random: StdRng,
    start: Timestamp,
}

impl Teller {
    /// From one cycle of a rack to the next.
    pub const EVERY: SignedDuration = SignedDuration::from_hours(6);

    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            start: "2026-11-01T00:00:00Z".parse().unwrap(),
        }
    }

    /// The same from another time on.
    pub fn since(self, start: Timestamp) -> Self {
        Self { start, ..self }
    }

    /// The events of every rack's cycles, cycle after cycle.
    pub fn story(&mut self, size: Size) -> Vec<Event> {
        let mut events = Vec::new();
        for number in 0..size.cycles {
            events.extend(self.round(number, size));
        }
        events
    }

    /// The events of all racks' cycles with this number, in the order of their times.
    pub fn round(&mut self, number: usize, size: Size) -> Vec<Event> {
        let mut events = Vec::new();
        for rack in 0..size.racks {
            let slot = self.start + Self::EVERY * i32::try_from(number).unwrap();
            let rack_name = RackName::new(format!("r{rack}")).unwrap();
            let machines: Vec<_> = (0..size.machines)
                .map(|machine| MachineName::new(format!("node{rack}.{machine}")).unwrap())
                .collect();
            self.cycle(&mut events, &rack_name, &machines, slot);
        }
        events.sort_by_key(|event| event.time);
        events
    }

    fn cycle(
        &mut self,
        events: &mut Vec<Event>,
        rack: &RackName,
        machines: &[MachineName],
        slot: Timestamp,
    ) {
        let cycle = CycleId::of_slot(rack, slot);
        let origin = Origin::Slot { slot };
        let mut tell = |seconds: i64, fact| {
            let jitter = SignedDuration::from_nanos(i64::from(rack.as_str().len() as u32));
            events.push(Event {
                time: slot + SignedDuration::from_secs(seconds) + jitter,
                rack: rack.clone(),
                cycle,
                fact,
            });
        };
        match self.random.random_range(0..40) {
            0 => {
                let cause = MissedCause::Late;
                return tell(5000, Fact::TickMissed { origin, cause });
            }
            1 => {
                tell(1, Fact::CycleStarted { origin });
                for attempt in 1..=3 {
                    let next_at = slot + SignedDuration::from_secs(i64::from(attempt) * 60);
                    let (cause, message) = ("timeout".to_owned(), "MAAS was silent".to_owned());
                    tell(
                        i64::from(attempt) * 30,
                        Fact::CycleRetrying {
                            attempt,
                            cause,
                            message,
                            next_at,
                        },
                    );
                }
                return tell(
                    600,
                    Fact::CycleFailed {
                        attempts: 4,
                        cause: "timeout".into(),
                        message: "MAAS was silent".into(),
                    },
                );
            }
            _ => {}
        }
        tell(1, Fact::CycleStarted { origin });
        let mut outcomes = Vec::new();
        let mut skips: BTreeMap<SkipReason, usize> = BTreeMap::new();
        for machine in machines {
            if self.random.random_ratio(1, 8) {
                let reason = *[
                    SkipReason::NoAgent,
                    SkipReason::AgentBusy,
                    SkipReason::FailStreak,
                ]
                .choose(&mut self.random)
                .unwrap();
                let skip = Skip::of(reason, "so it is");
                *skips.entry(reason).or_default() += 1;
                outcomes.push(Outcome::Skipped(skip.clone()));
                let machine = machine.clone();
                tell(2, Fact::MachineSkipped { machine, skip });
                continue;
            }
            let job = Job {
                machine: machine.clone(),
                job: JobId::of(cycle, machine),
            };
            let begin = 10 + self.random.random_range(0..3600);
            if self.random.random_ratio(1, 50) {
                let (status, message) = (422, "Validation error".to_owned());
                outcomes.push(Outcome::Rejected {
                    status,
                    message: message.clone(),
                });
                tell(
                    begin,
                    Fact::JobRejected {
                        job,
                        status,
                        message,
                    },
                );
                continue;
            }
            let deadline = slot + SignedDuration::from_secs(begin + 14400);
            let submitted = Fact::JobSubmitted {
                job: job.clone(),
                deadline,
                image: Image {
                    distro: Some(
                        (*["noble", "jammy"].choose(&mut self.random).unwrap()).to_owned(),
                    ),
                    kernel: None,
                },
            };
            tell(begin, submitted);
            for (state, after) in [("waiting", 300), ("provision", 600), ("test", 900)] {
                let (job, state) = (job.clone(), state.to_owned());
                tell(begin + after, Fact::JobProgressed { job, state });
            }
            let verdict = self.verdict();
            if matches!(verdict, Outcome::Lost { .. }) {
                let job = job.clone();
                tell(begin + 14400, Fact::JobOverdue { job, deadline });
            }
            let over = begin + self.random.random_range(1000..14000);
            let cancel = (verdict == Outcome::Cancelled).then(|| CancelRequest {
                cause: CancelCause::Asked,
                by: "ann".into(),
                why: "wrong image".into(),
                at: slot,
            });
            outcomes.push(verdict.clone());
            let evidence = (verdict != Outcome::Passed).then(|| Keeping::Kept {
                digest: "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=".into(),
                size: 4711,
            });
            tell(
                over,
                Fact::JobFinished {
                    job,
                    verdict,
                    statuses: BTreeMap::from([(Phase::Setup, 0), (Phase::Provision, 0)]),
                    submitted_at: Some(slot + SignedDuration::from_secs(begin)),
                    cancel,
                    device: Some(serde_json::json!({"device_ip": "10.0.0.3"})),
                    evidence,
                },
            );
        }
        let planned = Fact::CyclePlanned {
            deploy: machines.len() - skips.values().sum::<usize>(),
            skip: skips,
            deploy_by: slot + SignedDuration::from_secs(5400),
            spread: Duration::from_secs(3600),
        };
        tell(2, planned);
        // Some cycles are under way when the story ends.
        if self.random.random_ratio(9, 10) {
            let counts = Counts::of(&outcomes);
            let duration = Duration::from_secs(18000);
            tell(18000, Fact::CycleFinished { counts, duration });
        }
    }

    fn verdict(&mut self) -> Outcome {
        match self.random.random_range(0..20) {
            0..13 => Outcome::Passed,
            13..18 => Outcome::Failed {
                cause: FailCause::Phase,
                phase: Some(Phase::Provision),
                exit_code: Some(1),
            },
            18 => Outcome::Cancelled,
            _ => Outcome::Lost {
                cause: LostCause::Deadline,
            },
        }
    }

    /// The same events as a stream may hold them: in any order, some of them several times, some of these with a later
    /// time than the first.
    pub fn muddled(&mut self, events: &[Event]) -> Vec<Event> {
        let mut muddled = Vec::new();
        for event in events {
            muddled.push(event.clone());
            while self.random.random_ratio(1, 4) {
                let mut again = event.clone();
                let later = self.random.random_range(0..2) * 3600;
                again.time += SignedDuration::from_secs(later);
                muddled.push(again);
            }
        }
        muddled.shuffle(&mut self.random);
        muddled
    }

    /// A number below this.
    pub fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }
}
