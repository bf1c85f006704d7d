//! The table of docs/security.md, tried out: everybody on every subject.

use std::collections::BTreeSet;

use bus::access::Role::{Admin, Dashboard, Observer, Operator, Scheduler, Worker};
use bus::topology::{Retention, Topology, setup};
use testkit::Broker;

use crate::entries::{Act, allowed, matches};
use crate::probe::Probe;
use crate::probe::Who::{self, NoKey, Role};

/// Every role that has something to do with streams, besides the admin.
const EVERYBODY_BUT_OBSERVERS: &[Who] = &[
    Role(Scheduler),
    Role(Worker),
    Role(Dashboard),
    Role(Operator),
];

/// Who may read a stream in order, besides the admin.
const READERS: &[(&str, &[Who])] = &[
    ("EVENTS", &[Role(Dashboard), Role(Operator)]),
    ("DLQ", &[Role(Scheduler), Role(Dashboard), Role(Operator)]),
    (
        "KV_racks",
        &[Role(Scheduler), Role(Dashboard), Role(Operator)],
    ),
    ("KV_machines", EVERYBODY_BUT_OBSERVERS),
    (
        "KV_cycles",
        &[Role(Scheduler), Role(Dashboard), Role(Operator)],
    ),
    ("OTHER", &[]),
];

/// Who answers when somebody asks who is there.
const ANSWERING: &[Who] = &[
    Role(Scheduler),
    Role(Worker),
    Role(Dashboard),
    Role(Operator),
];

/// Who may publish on a subject, besides the admin.
const PUBLISH: &[(&str, &[Who])] = &[
    // Starting cycles, and arming them.
    ("rack.tick", &[Role(Operator), NoKey]),
    ("rack.schedule.r1.20301121T060000Z", &[Role(Scheduler)]),
    (
        "rack.schedule.r1.retry.1053ce94-f362-5d76-9851-f01f98a1a733",
        &[Role(Scheduler), Role(Worker)],
    ),
    ("rack.other", &[]),
    // Work.
    (
        "task.submit.r1.m1",
        &[Role(Scheduler), Role(Worker), Role(Operator)],
    ),
    ("task.watch.r1.m1", &[Role(Operator)]),
    (
        "task.wait.submit.1053ce94-f362-5d76-9851-f01f98a1a733",
        &[Role(Scheduler), Role(Worker)],
    ),
    (
        "task.wait.watch.1053ce94-f362-5d76-9851-f01f98a1a733",
        &[Role(Scheduler), Role(Worker), Role(Operator)],
    ),
    // Facts and dead letters.
    (
        "event.cycle.r1.finished",
        &[Role(Scheduler), Role(Worker), Role(Operator)],
    ),
    (
        "event.machine.r1.m1.skipped",
        &[Role(Scheduler), Role(Worker), Role(Operator)],
    ),
    ("event.job.r1.m1.finished", &[Role(Worker), Role(Operator)]),
    (
        "event.tick.r1.missed",
        &[Role(Scheduler), Role(Worker), Role(Operator)],
    ),
    (
        "event.rack.r1.paused",
        &[Role(Scheduler), Role(Worker), Role(Operator)],
    ),
    ("dlq.rack.tick", &[Role(Scheduler), Role(Worker)]),
    // Records.
    (
        "$KV.racks.r1",
        &[Role(Scheduler), Role(Worker), Role(Operator)],
    ),
    (
        "$KV.machines.m1",
        &[Role(Scheduler), Role(Worker), Role(Operator)],
    ),
    (
        "$KV.cycles.r1.1053ce94",
        &[Role(Scheduler), Role(Worker), Role(Operator)],
    ),
    // Taking work: nobody but the worker, and the worker through its own consumers only.
    ("$JS.API.CONSUMER.MSG.NEXT.RACK.tick", &[Role(Worker)]),
    ("$JS.API.CONSUMER.MSG.NEXT.TASK.submit", &[Role(Worker)]),
    ("$JS.API.CONSUMER.MSG.NEXT.TASK.watch", &[Role(Worker)]),
    ("$JS.API.CONSUMER.CREATE.RACK.x.rack.tick", &[]),
    ("$JS.API.CONSUMER.CREATE.TASK.x.task.submit.>", &[]),
    ("$JS.API.CONSUMER.CREATE.TASK.x", &[]),
    ("$JS.API.CONSUMER.CREATE.TASK", &[]),
    ("$JS.API.CONSUMER.DURABLE.CREATE.TASK.x", &[]),
    ("$JS.API.CONSUMER.DELETE.TASK.submit", &[]),
    ("$JS.API.CONSUMER.PAUSE.TASK.submit", &[]),
    ("$JS.ACK.RACK.tick.1.1.1.1.0", &[Role(Worker)]),
    ("$JS.ACK.TASK.submit.1.1.1.1.0", &[Role(Worker)]),
    ("$JS.ACK.TASK.watch.1.1.1.1.0", &[Role(Worker)]),
    ("$JS.ACK._.hash.RACK.tick.1.1.1.1.0", &[Role(Worker)]),
    ("$JS.ACK._.hash.TASK.submit.1.1.1.1.0", &[Role(Worker)]),
    ("$JS.ACK._.hash.TASK.watch.1.1.1.1.0", &[Role(Worker)]),
    ("$JS.ACK.TASK.other.1.1.1.1.0", &[]),
    // Looking at what there is.
    ("$JS.API.STREAM.INFO.EVENTS", EVERYBODY_BUT_OBSERVERS),
    ("$JS.API.CONSUMER.INFO.RACK.tick", EVERYBODY_BUT_OBSERVERS),
    ("$JS.API.CONSUMER.INFO.TASK.submit", EVERYBODY_BUT_OBSERVERS),
    ("$JS.API.CONSUMER.INFO.EVENTS.x", &[Role(Operator)]),
    ("$JS.API.CONSUMER.LIST.RACK", EVERYBODY_BUT_OBSERVERS),
    ("$JS.API.CONSUMER.LIST.TASK", EVERYBODY_BUT_OBSERVERS),
    ("$JS.API.CONSUMER.LIST.EVENTS", &[Role(Operator)]),
    ("$JS.API.CONSUMER.NAMES.TASK", &[Role(Operator)]),
    ("$JS.API.STREAM.NAMES", &[Role(Operator)]),
    ("$JS.API.STREAM.LIST", &[Role(Operator)]),
    ("$JS.API.INFO", &[Role(Operator)]),
    // Reading single messages.
    (
        "$JS.API.STREAM.MSG.GET.RACK",
        &[Role(Scheduler), Role(Dashboard), Role(Operator)],
    ),
    (
        "$JS.API.STREAM.MSG.GET.TASK",
        &[Role(Scheduler), Role(Dashboard), Role(Operator)],
    ),
    (
        "$JS.API.STREAM.MSG.GET.EVENTS",
        &[Role(Dashboard), Role(Operator)],
    ),
    (
        "$JS.API.STREAM.MSG.GET.DLQ",
        &[Role(Scheduler), Role(Dashboard), Role(Operator)],
    ),
    ("$JS.API.STREAM.MSG.GET.KV_racks", EVERYBODY_BUT_OBSERVERS),
    (
        "$JS.API.STREAM.MSG.GET.KV_machines",
        EVERYBODY_BUT_OBSERVERS,
    ),
    ("$JS.API.STREAM.MSG.GET.KV_cycles", EVERYBODY_BUT_OBSERVERS),
    (
        "$JS.API.STREAM.MSG.GET.OBJ_evidence",
        &[Role(Dashboard), Role(Operator)],
    ),
    ("$O.evidence.M.x", &[Role(Worker)]),
    ("$O.evidence.C.x", &[Role(Worker)]),
    ("$JS.API.STREAM.PURGE.OBJ_evidence", &[]),
    ("$JS.API.STREAM.MSG.GET.OTHER", &[]),
    ("$JS.API.DIRECT.GET.EVENTS", &[Role(Operator)]),
    (
        "$JS.API.DIRECT.GET.EVENTS.event.cycle.r1.finished",
        &[Role(Operator)],
    ),
    ("$JS.API.DIRECT.GET.TASK", &[]),
    // Taking away.
    ("$JS.API.STREAM.MSG.DELETE.DLQ", &[Role(Operator)]),
    ("$JS.API.STREAM.MSG.DELETE.RACK", &[Role(Scheduler)]),
    ("$JS.API.STREAM.MSG.DELETE.TASK", &[Role(Scheduler)]),
    ("$JS.API.STREAM.MSG.DELETE.EVENTS", &[]),
    ("$JS.API.STREAM.MSG.DELETE.KV_machines", &[]),
    (
        "$JS.API.STREAM.PURGE.RACK",
        &[Role(Scheduler), Role(Operator)],
    ),
    ("$JS.API.STREAM.PURGE.TASK", &[]),
    ("$JS.API.STREAM.PURGE.EVENTS", &[]),
    ("$JS.API.STREAM.PURGE.KV_machines", &[]),
    // The admin's own: making and unmaking.
    ("$JS.API.STREAM.CREATE.X", &[]),
    ("$JS.API.STREAM.UPDATE.TASK", &[]),
    ("$JS.API.STREAM.DELETE.TASK", &[]),
    ("$JS.API.STREAM.DELETE.EVENTS", &[]),
    ("$JS.API.STREAM.SNAPSHOT.KV_machines", &[]),
    ("$JS.API.STREAM.RESTORE.KV_machines", &[]),
    // Asking who is there, and answering.
    ("$SRV.STATS", &[Role(Dashboard), Role(Operator)]),
    ("$SRV.PING.racktick-worker", &[Role(Operator)]),
    ("_INBOX_admin.x", ANSWERING),
    ("_INBOX_operator.x", ANSWERING),
    ("_INBOX_dashboard.x", ANSWERING),
    // Answers to others' requests.
    ("_INBOX_scheduler.x", &[]),
    ("_INBOX_worker.x", &[]),
    ("_INBOX.x", &[]),
    ("anything", &[]),
];

/// Who may listen on a subject, besides the admin.
const SUBSCRIBE: &[(&str, &[Who])] = &[
    (
        "event.>",
        &[Role(Dashboard), Role(Operator), Role(Observer), NoKey],
    ),
    (
        "event.*.r1.>",
        &[Role(Dashboard), Role(Operator), Role(Observer), NoKey],
    ),
    ("$JS.EVENT.ADVISORY.>", &[Role(Dashboard), Role(Operator)]),
    ("$SRV.>", ANSWERING),
    ("_INBOX.>", &[NoKey]),
    ("_INBOX_admin.>", &[]),
    ("_INBOX_scheduler.>", &[Role(Scheduler)]),
    ("_INBOX_worker.>", &[Role(Worker)]),
    ("_INBOX_dashboard.>", &[Role(Dashboard)]),
    ("_INBOX_operator.>", &[Role(Operator)]),
    ("_INBOX_observer.>", &[]),
    ("rack.tick", &[]),
    ("task.>", &[]),
    ("dlq.>", &[]),
    ("$KV.>", &[]),
    ("$JS.API.>", &[]),
    (">", &[]),
];

/// The same with what reading a stream takes: a reader of one's own, with and without a filter.
fn publish() -> Vec<(String, &'static [Who])> {
    let fixed = PUBLISH
        .iter()
        .map(|(subject, allowed)| ((*subject).to_owned(), *allowed));
    let reading = READERS.iter().flat_map(|(stream, allowed)| {
        [
            "CREATE.{}.x",
            "CREATE.{}.x.>",
            "MSG.NEXT.{}.x",
            "DELETE.{}.x",
        ]
        .map(|act| {
            (
                format!("$JS.API.CONSUMER.{}", act.replace("{}", stream)),
                *allowed,
            )
        })
    });
    fixed.chain(reading).collect()
}

#[test]
fn every_entry_of_the_file_is_tried_by_the_role_that_has_it() {
    let publish = publish();
    let subscribe = SUBSCRIBE
        .iter()
        .map(|(subject, who)| ((*subject).to_owned(), *who));
    let tried = [
        (Act::Publish, publish),
        (Act::Subscribe, subscribe.collect()),
    ];
    let mut untried = Vec::new();
    let mut entries = 0;
    for who in Who::all().filter(|who| *who != Role(Admin)) {
        for (act, subjects) in &tried {
            let allowed = allowed(who, *act);
            entries += allowed.len();
            for entry in &allowed {
                // By a try that no other entry lets through: without the entry, it would be denied.
                let needs = |subject: &str| {
                    let by = allowed.iter().filter(|entry| matches(entry, subject));
                    by.eq([entry])
                };
                let mut own = subjects.iter().filter(|(_, whose)| whose.contains(&who));
                if !own.any(|(subject, _)| needs(subject)) {
                    untried.push(format!("{who}, {act:?}: {entry}"));
                }
            }
        }
    }
    assert!(entries > 100, "the file was not read: {entries}");
    assert!(untried.is_empty(), "listed and not tried: {untried:#?}");
}

#[tokio::test]
async fn everybody_may_do_their_own_work_and_nothing_else() {
    let broker = Broker::start_with_roles().await;
    let admin = broker.bus_as(Admin).await;
    setup(&admin, &Topology::declared(Retention::default()))
        .await
        .unwrap();
    let publish = publish();
    let mut wrong = Vec::new();
    for who in Who::all().filter(|who| *who != Role(Admin)) {
        let mut probe = Probe::connect(&broker, who).await;
        for (subject, allowed) in &publish {
            if probe.may_publish(subject).await != allowed.contains(&who) {
                wrong.push(format!("{who} publishes on {subject}"));
            }
        }
        for (subject, allowed) in SUBSCRIBE {
            if probe.may_subscribe(subject).await != allowed.contains(&who) {
                wrong.push(format!("{who} listens on {subject}"));
            }
        }
    }
    assert!(wrong.is_empty(), "otherwise than listed: {wrong:#?}");
    let subjects: BTreeSet<_> = publish.iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects.len(), publish.len(), "a subject is listed twice");
}

#[tokio::test]
async fn the_admin_may_do_everything() {
    let broker = Broker::start_with_roles().await;
    let mut probe = Probe::connect(&broker, Role(Admin)).await;
    for (subject, _) in publish() {
        assert!(probe.may_publish(&subject).await, "{subject}");
    }
    for (subject, _) in SUBSCRIBE.iter().filter(|(subject, _)| *subject != ">") {
        assert!(probe.may_subscribe(subject).await, "{subject}");
    }
}
