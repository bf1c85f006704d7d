#![doc = include_str!("../README.md")]

mod fleet;
pub mod inputs;
mod settings;
pub mod submit;
pub mod tick;
pub mod trouble;
pub mod watch;

use std::future::Future;
use std::sync::Arc;

use bus::Bus;
use bus::runtime::{Drained, Runtime};
use ledger::Ledger;
use maas::Maas;
use model::task::TaskKind;
use testflinger::Testflinger;

pub use settings::{Settings, Timing};

use crate::inputs::Sources;

/// Ticks at work at a time in one worker. Those that come together share a list of agents, which is by far the longest
/// thing that they read; each holds its own rack's machines.
const TICKS: usize = 32;

/// Who sees what a worker does.
#[derive(Clone, Default)]
pub struct Observers {
    /// How its tasks go.
    pub tasks: Vec<Arc<dyn bus::runtime::Observer>>,
    /// What becomes known of cycles and jobs.
    pub facts: Vec<Arc<dyn ledger::Observer>>,
}

/// Works until `shutdown` resolves, then finishes what it began within the grace, and says how that went. Trouble with
/// the broker is waited out.
pub async fn run(
    settings: Settings,
    bus: Bus,
    maas: Maas,
    testflinger: Testflinger,
    observers: Observers,
    shutdown: impl Future<Output = ()> + Send,
) -> Drained {
    let ledger = Ledger::new(bus.clone()).observed(observers.facts);
    let settings = Arc::new(settings);
    let sources = Arc::new(Sources::new(maas, testflinger.clone(), ledger.clone()));
    let mut runtime = Runtime::new(bus, settings.name.clone()).observed(observers.tasks);
    for kind in &settings.only {
        runtime = match kind {
            TaskKind::Tick => {
                let ticks = settings.concurrency.min(TICKS);
                runtime.register(
                    tick::Handler::new(ledger.clone(), sources.clone(), settings.clone()),
                    ticks,
                )
            }
            TaskKind::Submit => {
                let handler =
                    submit::Handler::new(ledger.clone(), testflinger.clone(), settings.clone());
                runtime.register(handler, settings.concurrency)
            }
            TaskKind::Watch => {
                let handler = watch::Handler::new(ledger.clone(), testflinger.clone());
                runtime.register(handler, settings.concurrency)
            }
        };
    }
    runtime.run(shutdown, settings.grace).await
}
