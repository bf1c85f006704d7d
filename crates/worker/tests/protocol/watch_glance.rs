//! Looks that do not read the claim: what they know is enough for a job at work, and whatever happened since they were
//! armed is seen by a look that reads.

use bus::runtime::Handler as _;
use ledger::{Cancelled, Ledger};
use model::cycle::CycleRecord;
use model::outcome::Outcome;
use model::task::{Submit, Watch};

use crate::world::{Letter, Rack, World, phases, submits};

const ACTION: &str = "POST /v1/job/{}/action";

/// A job of a rack of its own.
struct Job {
    rack: Rack,
    /// The cycle as it was decided.
    record: CycleRecord,
    task: Submit,
    _world: World,
}

impl Job {
    /// One that is decided, and waits for its submit.
    async fn decided() -> Self {
        let world = World::start().await;
        let rack = world.rack_by_hand("r1", 1).await;
        let record = rack.cycle().await;
        Self {
            task: submits(&record)[0].clone(),
            record,
            rack,
            _world: world,
        }
    }

    /// One in Testflinger, in provision.
    async fn at_work() -> Self {
        let job = Self::decided().await;
        job.rack.run(&job.task).await;
        job.provisions().await;
        job
    }

    async fn provisions(&self) {
        self.rack.report(&self.task, "provision", phases([])).await;
    }

    async fn completes(&self) {
        let statuses = phases([("provision", 0)]);
        self.rack.report(&self.task, "complete", statuses).await;
    }

    async fn cancel(&self) {
        let asked = self.rack.cancel(&self.record, &self.task).await;
        assert_eq!(asked, Cancelled::Asked);
    }

    async fn fire(&self) -> Letter<Watch> {
        self.rack.fire(&self.task).await.expect("a look waits")
    }

    async fn deliver(&self, look: &Letter<Watch>) {
        self.rack.deliver_watch(look).await.unwrap();
    }

    /// Whether the look that waits reads the claim.
    async fn next_reads(&self) -> bool {
        let next = self.rack.waiting_look(&self.task).await;
        next.expect("a look waits").deadline.is_none()
    }

    async fn is_looked_at(&self) -> bool {
        self.rack.waiting_look(&self.task).await.is_some()
    }

    /// How the job ended, all looks done and everything told.
    async fn ended(&self) -> Outcome {
        self.rack.follow(&self.task).await;
        let record = self.rack.ended(self.record.cycle).await;
        record.outcomes[&self.task.machine].clone()
    }

    /// Submits it in the process that this ledger belongs to; it is over at its first look.
    async fn submit_and_complete(&self, ledger: &Ledger) -> Letter<Watch> {
        let letter = Letter::submit(&self.task);
        let submitter = self.rack.submitter_on(ledger.clone());
        let submitted = submitter.handle(letter.task, &letter.delivery).await;
        submitted.unwrap();
        self.completes().await;
        self.fire().await
    }

    /// Delivers a look in the process that this ledger belongs to.
    async fn deliver_on(&self, ledger: &Ledger, look: &Letter<Watch>) {
        let watcher = self.rack.watcher_on(ledger.clone());
        let looked = watcher.handle(look.task.clone(), &look.delivery).await;
        looked.unwrap();
    }
}

#[tokio::test]
async fn looks_at_a_job_at_work_follow_each_other_without_the_claim() {
    let job = Job::at_work().await;
    for number in 0..3 {
        assert!(!job.next_reads().await);
        let look = job.fire().await;
        assert_eq!(look.task.look, number);
        job.deliver(&look).await;
    }
    // Nothing is there to be read.
    let (rack, machine) = (&job.rack, &job.task.machine);
    let before = rack.machine(machine).await;
    rack.change(machine, |record| *record = Default::default())
        .await;
    job.deliver(&job.fire().await).await;
    assert!(!job.next_reads().await);
    rack.change(machine, |record| *record = before.clone())
        .await;
    job.completes().await;
    assert_eq!(job.ended().await, Outcome::Passed);
}

/// The look is in some worker's hands when the cancel comes, and arms the next one after it.
#[tokio::test]
async fn a_cancel_during_a_look_is_seen_by_the_next_one() {
    let job = Job::at_work().await;
    let look = job.fire().await;
    job.cancel().await;
    job.deliver(&look).await;
    assert!(job.next_reads().await);
    job.deliver(&job.fire().await).await;
    assert_eq!(job.rack.requests(ACTION), 1);
    assert_eq!(job.ended().await, Outcome::Cancelled);
}

/// The cancel's own look was handled before the one that knows nothing of it.
#[tokio::test]
async fn a_cancel_that_overtakes_a_look_is_not_forgotten() {
    let job = Job::at_work().await;
    let look = job.fire().await;
    job.cancel().await;
    job.deliver(&job.fire().await).await;
    assert!(job.next_reads().await);
    // The agent's next report overwrites the cancel, so each look has to repeat it.
    job.provisions().await;
    job.deliver(&look).await;
    assert!(job.next_reads().await);
    job.deliver(&job.fire().await).await;
    assert_eq!(job.rack.requests(ACTION), 2);
    assert_eq!(job.ended().await, Outcome::Cancelled);
}

/// Both looks are in workers' hands, and the one that knows nothing of the cancel arms first.
#[tokio::test]
async fn a_cancels_look_takes_the_place_of_one_that_knows_nothing_of_it() {
    let job = Job::at_work().await;
    let look = job.fire().await;
    job.cancel().await;
    let reading = job.fire().await;
    job.deliver(&look).await;
    assert!(!job.next_reads().await);
    job.deliver(&reading).await;
    assert!(job.next_reads().await);
    assert_eq!(job.ended().await, Outcome::Cancelled);
}

/// The acknowledgement was lost, or the worker was too slow: the same look again, when the next one waits already.
#[tokio::test]
async fn a_look_that_comes_again_reads_and_leaves_one_look() {
    let job = Job::at_work().await;
    let look = job.fire().await;
    job.deliver(&look).await;
    job.deliver(&look.clone().again()).await;
    assert!(job.next_reads().await);
    // A broker that came back from a crash may count from one again.
    job.deliver(&look).await;
    assert!(job.next_reads().await);
    job.completes().await;
    assert_eq!(job.ended().await, Outcome::Passed);
    job.deliver(&look.again()).await;
    assert!(!job.is_looked_at().await);
    job.ended().await;
}

/// Of two looks at one job, the second outlives it: it ends by itself, whatever is left of the job.
#[tokio::test]
async fn a_look_that_outlives_its_job_ends() {
    let job = Job::at_work().await;
    let look = job.fire().await;
    job.completes().await;
    job.deliver(&look).await;
    assert!(!job.is_looked_at().await);
    job.ended().await;
    job.deliver(&look).await;
    assert!(!job.is_looked_at().await);
    job.rack
        .change(&job.task.machine, |record| record.forget(|_, _| true))
        .await;
    job.deliver(&look).await;
    assert!(!job.is_looked_at().await);
    job.ended().await;
}

/// The worker that submitted the job remembers its record, and settles it on that.
#[tokio::test]
async fn a_remembered_record_is_settled_on_and_reported_once() {
    let job = Job::decided().await;
    let ledger = job.rack.ledger();
    let look = job.submit_and_complete(&ledger).await;
    for _ in 0..2 {
        job.deliver_on(&ledger, &look).await;
    }
    assert!(!job.is_looked_at().await);
    let verdicts = job.rack.machine(&job.task.machine).await.verdicts;
    assert_eq!(verdicts.len(), 1);
    job.ended().await;
}

/// Somebody asked to cancel it since: the compare-and-set notices, and the verdict says so.
#[tokio::test]
async fn a_remembered_record_that_changed_is_read_again() {
    let job = Job::decided().await;
    let ledger = job.rack.ledger();
    let look = job.submit_and_complete(&ledger).await;
    job.cancel().await;
    job.deliver_on(&ledger, &look).await;
    let settled = &job.rack.machine(&job.task.machine).await.settled[&job.task.job];
    assert_eq!(settled.outcome, Outcome::Cancelled);
    assert_eq!(settled.cancel.as_ref().unwrap().by, "ada");
    // The look that the cancel armed finds the end.
    job.ended().await;
}
