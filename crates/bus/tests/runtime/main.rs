#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! The task runtime against a real server.

mod dead;
mod drain;
mod flow;
mod messages;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::runtime::{Delivery, Drained, Handler, Runtime, TaskError};
use bus::topology::{Retention, Topology, setup};
use bus::{Bus, Outgoing};
use model::name::RackName;
use model::subject::{Subject, stream};
use model::task::Tick;
use testkit::Broker;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(20);

/// A handler of ticks that is a function. What it was called with is kept.
struct Do<F> {
    work: F,
    calls: Calls,
}

/// The racks and deliveries of all calls, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<(String, Delivery)>>>);

impl Calls {
    fn racks(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|(rack, _)| rack.clone())
            .collect()
    }

    fn deliveries(&self) -> Vec<Delivery> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|(_, delivery)| delivery.clone())
            .collect()
    }

    fn attempts(&self) -> Vec<u32> {
        self.deliveries()
            .iter()
            .map(|delivery| delivery.attempt)
            .collect()
    }

    /// How often each rack was called for.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for rack in self.racks() {
            *counts.entry(rack).or_default() += 1;
        }
        counts
    }

    async fn reach(&self, number: usize) {
        testkit::until(SOON, &format!("{number} calls"), async || {
            self.racks().len() >= number
        })
        .await;
    }
}

impl<F, R> Handler<Tick> for Do<F>
where
    F: Fn(Delivery) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), TaskError>> + Send,
{
    async fn handle(&self, task: Tick, delivery: &Delivery) -> Result<(), TaskError> {
        self.calls
            .0
            .lock()
            .unwrap()
            .push((task.rack.to_string(), delivery.clone()));
        (self.work)(delivery.clone()).await
    }
}

/// A runtime under way.
struct Running {
    calls: Calls,
    stop: oneshot::Sender<()>,
    end: JoinHandle<Drained>,
}

impl Running {
    async fn stop(self) -> Drained {
        let _ = self.stop.send(());
        tokio::time::timeout(SOON, self.end).await.unwrap().unwrap()
    }
}

/// Takes ticks with this many hands.
fn take<F, R>(bus: &Bus, hands: usize, grace: Duration, work: F) -> Running
where
    F: Fn(Delivery) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), TaskError>> + Send + 'static,
{
    let calls = Calls::default();
    let runtime = Runtime::new(bus.clone(), "test").register::<Tick, _>(
        Do {
            work,
            calls: calls.clone(),
        },
        hands,
    );
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    Running {
        calls,
        stop,
        end: tokio::spawn(runtime.run(shutdown, grace)),
    }
}

/// A broker whose consumer of ticks gives messages out again after `ack_wait`, and gives up after `max_deliver`.
async fn broker(ack_wait: Duration, max_deliver: u32) -> (Broker, Bus) {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    let mut topology = Topology::declared(Retention::default());
    let tick = topology
        .consumers
        .get_mut(&("RACK".into(), "tick".into()))
        .unwrap();
    tick.insert(
        "ack_wait".into(),
        u64::try_from(ack_wait.as_nanos()).unwrap().into(),
    );
    tick.insert("max_deliver".into(), max_deliver.into());
    setup(&bus, &topology).await.unwrap();
    (broker, bus)
}

async fn tick(bus: &Bus, rack: &str) {
    let rack = RackName::new(rack).unwrap();
    bus.publish(Outgoing::new(Subject::Tick, rack.to_string()).with_id(rack.to_string()))
        .await
        .unwrap();
}

async fn ticks(bus: &Bus, number: usize) {
    let all = (0..number).map(|number| {
        let bus = bus.clone();
        tokio::spawn(async move { tick(&bus, &format!("r{number}")).await })
    });
    for publish in all.collect::<Vec<_>>() {
        publish.await.unwrap();
    }
}

/// How many ticks are stored and not settled.
async fn left(bus: &Bus) -> u64 {
    bus.subjects(stream::RACK, "rack.tick")
        .await
        .unwrap()
        .values()
        .sum()
}

async fn none_left(bus: &Bus) {
    testkit::until(SOON, "no tick is left", async || left(bus).await == 0).await;
}
