//! Which cycle a tick means.

use bus::runtime::{Delivery, TaskError};
use jiff::{SignedDuration, Timestamp};
use model::cycle::Origin;
use model::id::CycleId;
use model::subject::Subject;
use model::task::{Resume, Tick};

/// Ticks older than this have outlived the records that would show that they were handled.
const OLDEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The clocks of broker and workers do not differ by more than this.
const EARLIEST: SignedDuration = SignedDuration::from_mins(5);

/// What stays the same however often the tick is delivered, put off or replayed.
pub(super) struct Identity {
    pub(super) cycle: CycleId,
    pub(super) origin: Origin,
    /// When the first message was stored.
    pub(super) ticked_at: Timestamp,
    /// Which attempt this is, from 1.
    pub(super) attempt: u32,
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
                }
            }
            (None, Some(Subject::Slot { rack, slot })) if *rack == tick.rack => Self {
                cycle: CycleId::of_slot(rack, *slot),
                origin: Origin::Slot { slot: *slot },
                ticked_at: delivery.stored_at,
                attempt: 1,
            },
            (None, Some(scheduler)) => {
                return Err(TaskError::reject(format!(
                    "{scheduler} does not schedule ticks of rack {}",
                    tick.rack
                )));
            }
            (None, None) => Self {
                cycle: CycleId::of_message(
                    &tick.rack,
                    delivery.stream_created,
                    delivery.sequence,
                    delivery.stored_at,
                ),
                origin: Origin::Manual {
                    by: tick.by.clone(),
                    reason: tick.reason.clone(),
                },
                ticked_at: delivery.stored_at,
                attempt: 1,
            },
        };
        if let Origin::Slot { slot } = identity.origin
            && slot.duration_since(Timestamp::now()) > EARLIEST
        {
            return Err(TaskError::reject(format!(
                "slot {slot} is still to come: its tick was forged, or the clocks of broker and worker differ"
            )));
        }
        let age = Timestamp::now().duration_since(identity.ticked_at);
        if age > OLDEST {
            return Err(TaskError::reject(format!(
                "the tick is {} hours old",
                age.as_hours()
            )));
        }
        Ok(identity)
    }

    pub(super) fn is_slot(&self) -> bool {
        matches!(self.origin, Origin::Slot { .. })
    }
}

/// Whether a tick may go on as it says: as the slot that its cycle belongs to, and on no other cycle's subject.
fn goes_on(tick: &Tick, resume: &Resume, scheduler: Option<&Subject>) -> Result<(), String> {
    match scheduler {
        Some(Subject::Retry { rack, cycle }) if *rack == tick.rack && *cycle == resume.cycle => {}
        Some(scheduler) => {
            return Err(format!(
                "{scheduler} does not schedule cycle {} of rack {}",
                resume.cycle, tick.rack
            ));
        }
        None => {}
    }
    match resume.origin {
        Origin::Slot { slot } if resume.cycle != CycleId::of_slot(&tick.rack, slot) => {
            Err(format!(
                "{} is not the cycle of slot {slot} of rack {}",
                resume.cycle, tick.rack
            ))
        }
        _ => Ok(()),
    }
}
