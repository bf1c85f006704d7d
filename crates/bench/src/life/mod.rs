//! A long life: weeks of cycles in minutes, and what broker, worker and scheduler hold meanwhile. Everything that has an
//! age turns over once before anything counts, because until then even what forgets in time only grows.

mod ages;
mod flat;
mod sample;
mod told;

use std::time::Duration;

use broker::Binary;
use bus::Outgoing;
use bus::topology::{Retention, Topology};
use model::policy::Policy;
use model::speed::Speed;
use model::subject::{Subject, stream};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::arguments::Arguments;
use crate::child::Child;
use crate::jobs::Witness;
use crate::racktick::settled;
use crate::report;
use crate::roles::SchedulerOrders;
use crate::stage::{Shape, Stage, Surroundings};
use crate::sync::SyncPolicy;

pub(crate) use ages::Ages;
pub(crate) use told::text;

use sample::{Measured, Sample};

const DAY: Duration = Duration::from_secs(86_400);
/// Every rack ticks every six hours.
const TICKS_A_DAY: u32 = 4;
/// A thousand machines.
const RACKS: u32 = 10;
const MACHINES: u32 = 100;
/// JetStream fires whole seconds, so no wait is shorter: an hour at the default speed.
const WAIT: Duration = Duration::from_secs(1);
/// Longer than half an hour divided would be, because a machine that is busy is not a lab that is late.
const SUBMIT_WINDOW: Duration = Duration::from_secs(10);
/// How often the scheduler sweeps. It reads what the last 15 minutes wrote, which no speed divides: weeks of it, here.
const SWEEP: Duration = Duration::from_secs(5);
/// A run with fewer jobs than this share of those that were due did not see the days it tells of.
const ENOUGH: f64 = 0.9;

/// A run.
#[derive(Debug, Serialize)]
pub(crate) struct Life {
    shape: Shape,
    /// By how much waits are divided.
    speed: f64,
    /// How long cycles are kept, in simulated days; everything else in proportion.
    kept_days: f64,
    /// Days before anything counts.
    filled_days: u32,
    /// Days that count.
    days: u32,
    /// Jobs that the lab got.
    jobs: u64,
    /// Jobs that all ticks together ask for.
    jobs_due: u64,
    /// Ticks that the broker did not take.
    lost_ticks: u32,
    /// At the end of each day, from the first one on.
    samples: Vec<Sample>,
    /// What became of each thing over the days that count.
    measured: Vec<Measured>,
    /// What was not exactly once, or did not happen at all. Empty is right.
    wrong: Vec<String>,
}

impl Life {
    /// Whether the run is right, and everything in it flat.
    pub(crate) fn is_right(&self) -> bool {
        self.wrong.is_empty() && self.measured.iter().all(|measured| measured.trend.flat)
    }
}

/// Runs as many days as everything needs to turn over once, and then those that count.
pub(crate) async fn run(days: u32, arguments: &Arguments, binary: &Binary) -> anyhow::Result<Life> {
    let shape = Shape {
        racks: arguments.racks.unwrap_or(RACKS),
        machines: arguments.machines.unwrap_or(MACHINES),
        looks: arguments.looks,
    };
    let speed = f64::from(arguments.speed);
    let declared = ages::longest(&Topology::declared(Retention::default()));
    let kept = arguments
        .kept_days
        .map_or(declared, |days| DAY.mul_f64(days));
    let kept_days = kept.as_secs_f64() / DAY.as_secs_f64();
    let surroundings = Surroundings {
        sync: SyncPolicy::Default,
        workers: 1,
        ages: Ages {
            windows: speed,
            ages: speed * declared.as_secs_f64() / kept.as_secs_f64(),
        },
    };
    let policy = Policy {
        spread: WAIT,
        first_look: WAIT,
        // As soon as the broker lets it out: five minutes divided are less.
        look_every: Duration::ZERO,
        submit_window: SUBMIT_WINDOW,
        ..Policy::default()
    };
    let stage = Stage::open(shape, policy, surroundings, arguments, binary).await?;
    let mut life = Life {
        shape,
        speed,
        kept_days,
        // One more, because the server drops what is too old a little later.
        filled_days: kept_days.ceil() as u32 + 1,
        days,
        jobs: 0,
        jobs_due: 0,
        lost_ticks: 0,
        samples: vec![],
        measured: vec![],
        wrong: vec![],
    };
    // What was seen until then is worth telling, whatever ended it.
    if let Err(error) = life.live(&stage, arguments.speed).await {
        report::progress(&format!("the worker's log ends:\n{}", stage.log_end()));
        let days = life.samples.len();
        life.wrong
            .push(format!("it ended after day {days}: {error:#}"));
    }
    let counting = life.samples.get(life.filled_days as usize..);
    life.measured = Measured::all(counting.unwrap_or_default());
    stage.close().await?;
    Ok(life)
}

impl Life {
    async fn live(&mut self, stage: &Stage, speed: Speed) -> anyhow::Result<()> {
        let orders = SchedulerOrders {
            nats: stage.brokers.url(),
            settle: SWEEP,
        };
        let mut scheduler = Child::start("scheduler", &orders, stage.folder.path())?;
        let _: String = scheduler.hear().await?;
        let witness = Witness::new(&stage.address.control).await?;
        let racks = self.shape.racks();
        // Racks tick one after the other, as their splays make them.
        let ticks_a_day = TICKS_A_DAY * self.shape.racks;
        let step = DAY.div_f64(f64::from(speed)) / ticks_a_day;
        let mut due = Instant::now();
        for day in 1..=self.filled_days + self.days {
            for _ in 0..TICKS_A_DAY {
                for rack in &racks {
                    sleep_until(due).await;
                    due += step;
                    self.tick(stage, rack).await;
                }
            }
            let sample = Sample::take(day, stage, &scheduler).await?;
            report::progress(&sample.line());
            self.samples.push(sample);
        }
        settled(stage).await?;
        scheduler.end().await?;
        let stats = witness.stats().await?;
        let ticks = u64::from(ticks_a_day) * u64::from(self.filled_days + self.days);
        self.jobs = stats.jobs_submitted;
        self.jobs_due = ticks * u64::from(self.shape.machines);
        if (self.jobs as f64) < self.jobs_due as f64 * ENOUGH {
            self.wrong.push(format!(
                "only {} of {} jobs were submitted: this machine is too slow for --speed {}",
                self.jobs, self.jobs_due, self.speed
            ));
        }
        for (what, count) in [
            (
                "jobs with an id that was stored before",
                stats.jobs_with_same_id,
            ),
            (
                "machines with two jobs in one cycle",
                stats.machines_with_two_jobs_in_one_cycle,
            ),
            ("dead letters", self.dead_letters()),
        ] {
            if count > 0 {
                self.wrong.push(format!("{count} {what}"));
            }
        }
        Ok(())
    }

    /// A tick that no broker took, on a machine with too much else to do, is a cycle less and no more.
    async fn tick(&mut self, stage: &Stage, rack: &str) {
        let message = Outgoing::new(Subject::Tick, rack.to_owned());
        // With an id, so that it may be repeated until there is an answer.
        let message = message.with_id(Uuid::new_v4().to_string());
        if let Err(error) = stage.ledger.bus().publish(message).await {
            report::progress(&format!("a tick of {rack} was lost: {error}"));
            self.lost_ticks += 1;
        }
    }

    fn dead_letters(&self) -> u64 {
        let last = self.samples.last();
        last.map_or(0, |sample| sample.messages(stream::DLQ))
    }
}
