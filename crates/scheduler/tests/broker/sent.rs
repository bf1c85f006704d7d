//! Messages as a tick and a worker leave them, and the passes of the sweep.

use std::time::Duration;

use ledger::{outgoing, submit_task};
use model::cycle::CycleRecord;
use model::subject::Subject;
use testkit::until;

use crate::records::{complete, cycle, planned};
use crate::stage::{SOON, Stage, ago, ahead, machine, rack};

/// The settle time, and how often the sweep comes round.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);

pub(crate) fn submit_subject(name: &str) -> Subject {
    Subject::Submit {
        rack: rack("r1"),
        machine: machine(name),
    }
}

pub(crate) fn watch_subject(name: &str) -> Subject {
    Subject::Watch {
        rack: rack("r1"),
        machine: machine(name),
    }
}

impl Stage {
    /// Waits for the end of a pass that began after now: one that closes a cycle made for the purpose.
    pub(crate) async fn until_swept(&self, which: u64) {
        let mark = complete(cycle(ago(100_000 + 1000 * which), &["mark"]));
        self.write_cycle(&mark).await;
        // Closing comes before arming slots and forgetting fates, so one more pass is needed for those.
        until(SOON, "the sweep comes round", async || {
            self.is_closed(&mark.rack, mark.cycle).await
        })
        .await;
    }

    pub(crate) async fn send_submit(&self, record: &CycleRecord, name: &str) {
        let task = submit_task(record, planned(record), &machine(name));
        self.bus
            .publish(outgoing(submit_subject(name), &task).with_id(task.job.to_string()))
            .await
            .unwrap();
    }

    pub(crate) async fn hold_look(&self, record: &CycleRecord, name: &str) {
        let look = submit_task(record, planned(record), &machine(name)).first_look();
        self.ledger.arm_look(&look, ahead(600)).await.unwrap();
    }
}
