//! What each role does all day, with its own key.

use std::sync::Arc;
use std::time::Duration;

use bus::access::Role;
use bus::runtime::{Delivery, Handler, Runtime, TaskError};
use bus::topology::{Retention, Topology, ensure, setup};
use bus::{Outgoing, Published, Start, Written};
use jiff::Timestamp;
use model::machine::MachineRecord;
use model::rack::RackRecord;
use model::schedule::Schedule;
use model::subject::{Subject, bucket, filter, stream};
use model::task::Tick;
use serde_json::json;
use testkit::{Broker, until};
use tokio::sync::Notify;

use crate::probe::{Probe, Who};

const SOON: Duration = Duration::from_secs(30);

struct Count(Arc<std::sync::atomic::AtomicUsize>);

impl Handler<Tick> for Count {
    async fn handle(&self, _: Tick, _: &Delivery) -> Result<(), TaskError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn each_role_can_do_its_own_work() {
    let broker = Broker::start_with_roles().await;
    let declared = Topology::declared(Retention::default());
    setup(&broker.bus_as(Role::Admin).await, &declared)
        .await
        .unwrap();

    let operator = broker.bus_as(Role::Operator).await;
    let every = Duration::from_secs(6 * 3600);
    let record = RackRecord::new(Schedule::Every { every, splay: None }, Timestamp::now());
    let racks = operator.bucket::<RackRecord>(bucket::RACKS);
    assert!(matches!(
        racks.create("r1", &record).await.unwrap(),
        Written::Done(_)
    ));

    // The scheduler sees the rack and arms a slot, which comes out at once; another is armed and purged.
    let scheduler = broker.bus_as(Role::Scheduler).await;
    assert_eq!(ensure(&scheduler, &declared).await.unwrap(), []);
    let racks = scheduler.bucket::<RackRecord>(bucket::RACKS);
    let mut changes = racks.changes(Start::LastOfEach).await.unwrap();
    assert_eq!(changes.next().await.unwrap().key, "r1");
    let slot = |time: Timestamp| {
        let slot = Subject::Slot {
            rack: "r1".parse().unwrap(),
            slot: time,
        };
        Outgoing::new(slot, "r1")
            .at(time, Subject::Tick)
            .first_only()
    };
    let later = Timestamp::now() + Duration::from_secs(3600);
    for time in [Timestamp::now(), later] {
        let stored = scheduler.publish(slot(time)).await.unwrap();
        assert!(matches!(stored, Published::Stored(_)));
    }
    let later = slot(later).subject.to_string();
    assert_eq!(scheduler.purge(stream::RACK, &later).await.unwrap(), 1);
    assert_eq!(bus::dead::stuck(&scheduler).await.unwrap(), []);

    // The worker takes its tick, acknowledges it, and writes what it knows.
    let worker = broker.bus_as(Role::Worker).await;
    assert_eq!(ensure(&worker, &declared).await.unwrap(), []);
    let (done, stop) = (Arc::default(), Arc::new(Notify::new()));
    let runtime = Runtime::new(worker.clone(), "w1").register(Count(Arc::clone(&done)), 4);
    let stopped = Arc::clone(&stop);
    let running = tokio::spawn(async move {
        runtime
            .run(async move { stopped.notified().await }, SOON)
            .await
    });
    until(SOON, "the tick is done and gone", async || {
        done.load(std::sync::atomic::Ordering::SeqCst) == 1
            && worker.subjects(stream::RACK, ">").await.unwrap().is_empty()
    })
    .await;
    stop.notify_one();
    running.await.unwrap();
    let machines = worker.bucket::<MachineRecord>(bucket::MACHINES);
    for key in ["m1", "m2"] {
        let written = machines.create(key, &MachineRecord::default()).await;
        assert!(matches!(written.unwrap(), Written::Done(_)));
    }
    let both = ["m1".to_owned(), "m2".to_owned()];
    assert_eq!(machines.get_many(both).await.unwrap().len(), 2);
    let event = Subject::Event {
        about: "job".into(),
        rack: "r1".parse().unwrap(),
        machine: Some("m1".parse().unwrap()),
        what: "finished".into(),
    };
    let event = Outgoing::new(event, "{}").with_id("e1");
    worker.publish(event).await.unwrap();

    // The dashboard reads all of it.
    let dashboard = broker.bus_as(Role::Dashboard).await;
    let events = dashboard
        .read(stream::EVENTS, filter::EVENTS, Start::All)
        .await
        .unwrap();
    assert_eq!(events.to_end().await.unwrap().len(), 1);
    let machines = dashboard.bucket::<MachineRecord>(bucket::MACHINES);
    assert_eq!(machines.entries(">").await.unwrap().len(), 2);
    let racks = dashboard.bucket::<RackRecord>(bucket::RACKS);
    assert!(racks.get("r1").await.unwrap().is_some());
    assert_eq!(bus::dead::list(&dashboard).await.unwrap(), []);
}

#[tokio::test]
async fn an_operator_sees_which_tasks_no_worker_survived() {
    let broker = Broker::start_with_roles().await;
    let admin = broker.bus_as(Role::Admin).await;
    setup(&admin, &Topology::declared(Retention::default()))
        .await
        .unwrap();
    let (rack, machine) = ("r1".parse().unwrap(), "m1".parse().unwrap());
    let task = Outgoing::new(Subject::Submit { rack, machine }, "{}");
    let Published::Stored(sequence) = admin.publish(task).await.unwrap() else {
        panic!("it is the first");
    };
    // What the broker says when it has delivered a task as often as it may.
    let report = json!({
        "stream": "TASK", "stream_seq": sequence, "deliveries": 20, "timestamp": Timestamp::now(),
    });
    let about = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.TASK.submit";
    let probe = Probe::connect(&broker, Who::Role(Role::Admin)).await;
    let stored = probe.client.request(about, report.to_string().into()).await;
    stored.unwrap();
    let operator = broker.bus_as(Role::Operator).await;
    assert_eq!(bus::dead::stuck(&operator).await.unwrap().len(), 1);
}
