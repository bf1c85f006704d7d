//! Which cycle a tick means.

use bus::runtime::{Delivery, TaskError};
use jiff::{SignedDuration, Timestamp};
use model::cycle::Origin;
use model::subject::Subject;
use model::task::{Place, Resume, Tick};

/// Ticks older than this have outlived the records that would show that they were handled.
const OLDEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The clocks of broker, workers and operators do not differ by more than this.
const EARLIEST: SignedDuration = SignedDuration::from_mins(5);

/// The clocks of the broker's servers do not differ by more than this. One server stores a slot's tick after its slot;
/// another may have taken over since.
const SERVERS: SignedDuration = SignedDuration::from_secs(10);

/// Which cycle the tick means, and which attempt at it this is.
pub(super) fn identify(tick: &Tick, delivery: &Delivery) -> Result<Resume, TaskError> {
    let scheduler = delivery.scheduler.as_ref();
    let identity = match &tick.resume {
        Some(resume) => {
            goes_on(tick, resume, scheduler).map_err(TaskError::reject)?;
            resume.clone()
        }
        None => {
            let place = Place {
                stream_created: delivery.stream_created,
                sequence: delivery.sequence,
                stored_at: delivery.stored_at,
            };
            tick.first_attempt(scheduler, delivery.stored_at, Some(place))
                .map_err(|error| TaskError::reject(error.to_string()))?
        }
    };
    is_of_now(&identity, delivery.stored_at).map_err(TaskError::reject)?;
    Ok(identity)
}

/// Neither from the future nor from long ago.
fn is_of_now(identity: &Resume, stored_at: Timestamp) -> Result<(), String> {
    let now = Timestamp::now();
    let ticked_at = identity.ticked_at;
    if let Origin::Slot { slot } = identity.origin
        && (slot.duration_since(now) > EARLIEST || slot.duration_since(stored_at) > SERVERS)
    {
        return Err(format!(
            "slot {slot} is still to come: its tick was forged, or the clocks of broker and worker differ"
        ));
    }
    if ticked_at.duration_since(now.max(stored_at)) > EARLIEST {
        return Err(format!(
            "the tick says that it is of {ticked_at}, which is still to come: it was forged, or the clock of whoever sent \
             it is wrong"
        ));
    }
    let age = now.duration_since(ticked_at);
    if age > OLDEST {
        return Err(format!("the tick is {} hours old", age.as_hours()));
    }
    Ok(())
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
