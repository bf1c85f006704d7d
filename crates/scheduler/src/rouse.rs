//! Messages that are due and were never let out. A broker that cannot store the message that a waiting one becomes, for
//! want of room say, does not try a second time before it is restarted (nats-server 2.14.6). Published anew on its own
//! subject, the message waits anew and comes out at once.

use std::time::Duration;

use bus::{At, Outgoing, Stored};
use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::subject::{filter, stream};
use plan::slots::later;

/// So many waiting messages of each stream are looked at in a pass, the oldest first. One that is never let out becomes
/// the oldest in time, because all others go.
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
    for (stream, waiting) in [
        (stream::RACK, filter::ARMED),
        (stream::TASK, filter::WAITING),
    ] {
        let mut roused = 0;
        let mut looked_at = 0;
        let mut next = 1;
        while looked_at < LOOKED_AT
            && let Some(stored) = ledger.bus().next_on(stream, waiting, next).await?
        {
            next = stored.sequence + 1;
            match stored.at() {
                Some(at) if later(at.time, patience) < now => {
                    rouse(ledger, stored, at, roused == 0).await?;
                    roused += 1;
                }
                _ => looked_at += 1,
            }
        }
        if roused > 0 {
            tracing::warn!(stream, roused, "messages that were held up wait anew");
        }
    }
    Ok(())
}

async fn rouse(ledger: &Ledger, stored: Stored, at: At, first: bool) -> Result<(), LedgerError> {
    if first {
        tracing::error!(
            subject = stored.subject,
            due = %at.time,
            "the broker does not let out what is due: has its disk room left, and what does its log say?"
        );
    }
    let Ok(subject) = stored.subject.parse() else {
        return Ok(());
    };
    // What came out or was replaced meanwhile is left alone.
    let message = Outgoing::new(subject, stored.body)
        .at(at.time, at.target)
        .replacing(stored.sequence);
    ledger.bus().publish(message).await?;
    Ok(())
}
