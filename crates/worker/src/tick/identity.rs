//! Which cycle a tick means.

use bus::runtime::{Delivery, TaskError};
use jiff::{SignedDuration, Timestamp};
use model::cycle::Origin;
use model::id::CycleId;
use model::subject::Subject;
use model::task::{Place, Resume, Tick};

/// Ticks older than this have outlived the records that would show that they were handled.
const OLDEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The clocks of broker, workers and operators do not differ by more than this.
const EARLIEST: SignedDuration = SignedDuration::from_mins(5);

/// The clocks of the broker's servers do not differ by more than this. One server stores a slot's tick after its slot;
/// another may have taken over since.
const SERVERS: SignedDuration = SignedDuration::from_secs(10);

/// What stays the same however often the tick is delivered, put off or replayed.
pub(super) struct Identity {
    pub(super) cycle: CycleId,
    pub(super) origin: Origin,
    /// When the first message was stored.
    pub(super) ticked_at: Timestamp,
    /// Which attempt this is, from 1.
    pub(super) attempt: u32,
    /// Where the first message was, if the cycle follows from that.
    pub(super) place: Option<Place>,
}

impl Identity {
    pub(super) fn of(tick: &Tick, delivery: &Delivery) -> Result<Self, TaskError> {
        let identity = match (&tick.resume, &delivery.scheduler) {
            (Some(resume), scheduler) => {
                goes_on(tick, resume, scheduler.as_ref()).map_err(TaskError::reject)?;
                Self {
                    cycle: resume.cycle,
                    origin: resume.origin.clone(),
                    ticked_at: resume.ticked_at,
                    attempt: resume.attempt,
                    place: resume.place,
                }
            }
            (None, Some(Subject::Slot { rack, slot })) if *rack == tick.rack => Self {
                cycle: CycleId::of_slot(rack, *slot),
                origin: Origin::Slot { slot: *slot },
                ticked_at: delivery.stored_at,
                attempt: 1,
                place: None,
            },
            (None, Some(scheduler)) => {
                return Err(TaskError::reject(format!(
                    "{scheduler} does not schedule ticks of rack {}",
                    tick.rack
                )));
            }
            (None, None) => Self::of_manual(tick, delivery),
        };
        identity.is_of_now(delivery.stored_at)?;
        Ok(identity)
    }

    /// A manual tick that is new.
    fn of_manual(tick: &Tick, delivery: &Delivery) -> Self {
        let (cycle, place) = match tick.nonce {
            Some(nonce) => (CycleId::of_request(&tick.rack, nonce), None),
            None => {
                let place = Place {
                    stream_created: delivery.stream_created,
                    sequence: delivery.sequence,
                    stored_at: delivery.stored_at,
                };
                (place.cycle(&tick.rack), Some(place))
            }
        };
        Self {
            cycle,
            origin: Origin::Manual {
                by: tick.by.clone(),
                reason: tick.reason.clone(),
            },
            ticked_at: delivery.stored_at,
            attempt: 1,
            place,
        }
    }

    /// Neither from the future nor from long ago.
    fn is_of_now(&self, stored_at: Timestamp) -> Result<(), TaskError> {
        let now = Timestamp::now();
        if let Origin::Slot { slot } = self.origin
            && (slot.duration_since(now) > EARLIEST || slot.duration_since(stored_at) > SERVERS)
        {
            return Err(TaskError::reject(format!(
                "slot {slot} is still to come: its tick was forged, or the clocks of broker and worker differ"
            )));
        }
        if self.ticked_at.duration_since(now.max(stored_at)) > EARLIEST {
            return Err(TaskError::reject(format!(
                "the tick says that it is of {}, which is still to come: it was forged, or the clock of whoever sent it \
                 is wrong",
                self.ticked_at
            )));
        }
        let age = now.duration_since(self.ticked_at);
        if age > OLDEST {
            return Err(TaskError::reject(format!(
                "the tick is {} hours old",
                age.as_hours()
            )));
        }
        Ok(())
    }

    pub(super) fn is_slot(&self) -> bool {
        matches!(self.origin, Origin::Slot { .. })
    }
}

/// Whether a tick may go on as it says: as the cycle that follows from its slot, nonce or message, and on no other cycle's
/// subject.
fn goes_on(tick: &Tick, resume: &Resume, scheduler: Option<&Subject>) -> Result<(), String> {
    let Resume { cycle, origin, .. } = resume;
    let rack = &tick.rack;
    match scheduler {
        Some(Subject::Retry {
            rack: of,
            cycle: waits,
        }) if of == rack && waits == cycle => {}
        Some(scheduler) => {
            return Err(format!(
                "{scheduler} does not schedule cycle {cycle} of rack {rack}"
            ));
        }
        None => {}
    }
    if tick.cycle_of(resume) == Some(*cycle) {
        return Ok(());
    }
    Err(match origin {
        Origin::Slot { slot } => format!("{cycle} is not the cycle of slot {slot} of rack {rack}"),
        Origin::Manual { .. } => format!(
            "nothing in the tick shows that {cycle} is a cycle of rack {rack}: a manual tick names a nonce, and no cycle; \
             `racktick tick {rack}` starts one"
        ),
    })
}
