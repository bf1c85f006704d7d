//! Messages that are due and were never let out. A broker that cannot store the message that a waiting one becomes, for
//! want of room say, does not try a second time before it is restarted (nats-server 2.14.6). Published anew on its own
//! subject, the message waits anew and comes out at once.

use std::time::Duration;

use bus::{At, Outgoing, Published, Stored};
use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::subject::{filter, stream};
use plan::slots::later;

/// What waits, by how long it usually does: a short wait that is held up must not stand behind long ones.
const WAITING: [(&str, &str); 4] = [
    (stream::RACK, filter::ARMED_SLOTS),
    (stream::RACK, filter::RETRIES),
    (stream::TASK, filter::WAITING_SUBMITS),
    (stream::TASK, filter::WAITING_LOOKS),
];
/// So many of each are looked at in a pass, the oldest first. One that is never let out becomes the oldest in time,
/// because all others go.
const LOOKED_AT: usize = 64;
/// The broker may be late by this when it was restarted or has changed its leader.
const PATIENCE: Duration = Duration::from_secs(10);

/// One pass.
pub(crate) async fn pass(
    ledger: &Ledger,
    settle: Duration,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let patience = settle.max(PATIENCE);
    for (stream, waiting) in WAITING {
        let mut roused = 0;
        let mut looked_at = 0;
        let mut next = 1;
        while looked_at < LOOKED_AT
            && let Some(stored) = ledger.bus().next_on(stream, waiting, next).await?
        {
            next = stored.sequence + 1;
            match stored.at() {
                // One that was stored after it was due, as those are that were roused before, has its time, too.
                Some(at) if later(at.time.max(stored.time), patience) < now => {
                    roused += usize::from(rouse(ledger, stored, at).await?);
                }
                _ => looked_at += 1,
            }
        }
        if roused > 0 {
            tracing::error!(
                waiting,
                roused,
                "the broker does not let out what is due, so it waits anew: has its disk room left, and what does its \
                 log say?"
            );
        }
    }
    Ok(())
}

/// False when it came out or was replaced meanwhile.
async fn rouse(ledger: &Ledger, stored: Stored, at: At) -> Result<bool, LedgerError> {
    let Ok(subject) = stored.subject.parse() else {
        return Ok(false);
    };
    let message = Outgoing::new(subject, stored.body)
        .at(at.time, at.target)
        .replacing(stored.sequence);
    Ok(ledger.bus().publish(message).await? != Published::Exists)
}
