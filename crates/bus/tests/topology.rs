#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Streams, consumers and buckets on a real server.

use std::time::Duration;

use bus::topology::{Config, Difference, Report, Retention, Topology, ensure, setup};
use bus::{Bus, BusError, Outgoing};
use model::name::RackName;
use model::subject::Subject;
use serde_json::{Value, json};
use testkit::Broker;

fn declared() -> Topology {
    Topology::declared(Retention::default())
}

/// The declared topology with another value in one stream.
fn with(stream: &str, field: &str, value: Value) -> Topology {
    let mut topology = declared();
    topology
        .streams
        .get_mut(stream)
        .unwrap()
        .insert(field.into(), value);
    topology
}

fn consumer<'a>(topology: &'a mut Topology, stream: &str, name: &str) -> &'a mut Config {
    topology
        .consumers
        .get_mut(&(stream.into(), name.into()))
        .unwrap()
}

async fn differences(bus: &Bus) -> Vec<Difference> {
    declared().compare(&declared().found(bus).await.unwrap())
}

fn reasons(result: Result<impl std::fmt::Debug, BusError>) -> String {
    match result {
        Err(BusError::Topology(reasons)) => reasons.join("\n"),
        other => panic!("{other:?}"),
    }
}

fn event(what: &str) -> Outgoing {
    let rack = RackName::new("r7").unwrap();
    Outgoing::new(
        Subject::Event {
            about: "cycle".into(),
            rack,
            machine: None,
            what: what.into(),
        },
        "{}",
    )
}

#[tokio::test]
async fn what_is_set_up_is_as_declared_and_stays_so() {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    let report = setup(&bus, &declared()).await.unwrap();
    assert_eq!(report.changes.len(), 11, "{report}");
    assert_eq!(report.changes[0], "stream DLQ: created");
    assert_eq!(differences(&bus).await, []);
    assert_eq!(setup(&bus, &declared()).await.unwrap(), Report::default());
    assert_eq!(Report::default().to_string(), "everything is as declared");
    assert_eq!(ensure(&bus, &declared()).await.unwrap(), []);
}

#[tokio::test]
async fn roles_that_start_together_create_what_is_missing() {
    let broker = Broker::start().await;
    let roles = (0..4).map(|_| async {
        let bus = broker.connect().await;
        ensure(&bus, &declared()).await.unwrap()
    });
    for differences in futures_util::future::join_all(roles).await {
        assert_eq!(differences, []);
    }
}

#[tokio::test]
async fn a_harmless_difference_is_reported_and_left_until_setup_changes_it() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let week = Retention {
        age: Duration::from_secs(7 * 24 * 3600),
        bytes: 1024 * 1024 * 1024,
    };
    let mut wanted = Topology::declared(week);
    consumer(&mut wanted, "TASK", "watch").insert("max_deliver".into(), json!(7));
    let reported: Vec<String> = ensure(&bus, &wanted)
        .await
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        reported,
        [
            "stream EVENTS differs in max_age (is 720h, declared 168h): run `racktick setup`",
            "stream EVENTS differs in max_bytes (is 2000000000, declared 1073741824): run `racktick setup`",
            "consumer watch of TASK differs in max_deliver (is 20, declared 7): run `racktick setup`",
        ]
    );
    assert_eq!(differences(&bus).await, []);
    assert_eq!(setup(&bus, &wanted).await.unwrap().changes.len(), 3);
    assert_eq!(wanted.compare(&wanted.found(&bus).await.unwrap()), []);
    assert_eq!(setup(&bus, &wanted).await.unwrap(), Report::default());
}

#[tokio::test]
async fn what_the_files_do_not_declare_survives_a_change() {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    let mut theirs = with("EVENTS", "metadata", json!({"owner": "lab"}));
    theirs.streams.get_mut("EVENTS").unwrap()["max_age"] = json!(0);
    setup(&bus, &theirs).await.unwrap();
    setup(&bus, &declared()).await.unwrap();
    let found = declared().found(&bus).await.unwrap();
    assert_eq!(found.streams["EVENTS"]["metadata"]["owner"], "lab");
    assert_eq!(differences(&bus).await, []);
}

#[tokio::test]
async fn a_change_that_would_lose_data_is_refused_and_nothing_is_changed() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    for what in ["started", "planned", "planned"] {
        bus.publish(event(what)).await.unwrap();
    }
    let refusals = [
        ("max_age", json!(1_000_000), "its oldest message is"),
        (
            "max_bytes",
            json!(100),
            "bytes, and what is over the limit would be dropped",
        ),
        (
            "max_msgs",
            json!(2),
            "it holds 3 messages, and what is over the limit would be dropped",
        ),
        (
            "max_msgs_per_subject",
            json!(1),
            "event.cycle.r7.planned holds 2 messages",
        ),
        ("retention", json!("workqueue"), "a stream cannot change it"),
        ("storage", json!("memory"), "a stream cannot change it"),
        (
            "subjects",
            json!(["event.job.>"]),
            "it holds 2 messages on event.cycle.r7.planned",
        ),
    ];
    for (field, value, reason) in refusals {
        let mut wanted = with("EVENTS", field, value);
        // A change beside it, which is harmless and may not be made either.
        consumer(&mut wanted, "TASK", "watch").insert("max_deliver".into(), json!(7));
        if field == "max_age" {
            wanted
                .streams
                .get_mut("EVENTS")
                .unwrap()
                .insert("duplicate_window".into(), json!(0));
        }
        let said = reasons(setup(&bus, &wanted).await);
        assert!(
            said.contains("stream EVENTS differs in") && said.contains(reason),
            "{field}: {said}"
        );
        assert_eq!(differences(&bus).await, [], "{field}");
    }
}

#[tokio::test]
async fn limits_that_hold_everything_and_subjects_that_hold_nothing_may_change() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    bus.publish(event("started")).await.unwrap();
    let mut wanted = with(
        "EVENTS",
        "subjects",
        json!(["event.cycle.>", "event.job.>"]),
    );
    let stream = wanted.streams.get_mut("EVENTS").unwrap();
    stream.insert("max_msgs".into(), json!(10));
    stream.insert("max_msgs_per_subject".into(), json!(10));
    assert_eq!(setup(&bus, &wanted).await.unwrap().changes.len(), 3);
    assert_eq!(setup(&bus, &declared()).await.unwrap().changes.len(), 3);
}

#[tokio::test]
async fn streams_without_their_limits_get_them_by_setup_and_keep_what_they_hold() {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    let mut before = with("DLQ", "max_bytes", json!(-1));
    before.streams.get_mut("RACK").unwrap()["max_msg_size"] = json!(-1);
    setup(&bus, &before).await.unwrap();
    let tick = |size: usize| Outgoing::new(Subject::Tick, vec![b'x'; size]);
    bus.publish(tick(200_000)).await.unwrap();
    let dead = Subject::Dead("rack.tick".into());
    bus.publish(Outgoing::new(dead, "{}")).await.unwrap();

    let reported = ensure(&bus, &declared()).await.unwrap();
    let reported: Vec<String> = reported.iter().map(ToString::to_string).collect();
    assert_eq!(
        reported,
        [
            "stream DLQ differs in max_bytes (is -1, declared 256000000): run `racktick setup`",
            "stream RACK differs in max_msg_size (is -1, declared 131072): run `racktick setup`",
        ]
    );
    assert_eq!(setup(&bus, &declared()).await.unwrap().changes.len(), 2);
    assert_eq!(ensure(&bus, &declared()).await.unwrap(), []);
    for stream in ["DLQ", "RACK"] {
        assert_eq!(
            bus.subjects(stream, ">").await.unwrap().len(),
            1,
            "{stream}"
        );
    }
}

#[tokio::test]
async fn a_tick_of_any_size_that_is_read_is_stored_and_one_far_above_is_refused() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let tick =
        |size: usize| Outgoing::new(Subject::Tick, vec![b'x'; size]).with_id("x".repeat(1000));
    assert!(matches!(
        bus.publish(tick(200_000)).await,
        Err(BusError::Refused { code: 10054, .. })
    ));
    bus.publish(tick(64 * 1024)).await.unwrap();
}

#[tokio::test]
async fn an_unsafe_difference_stops_a_role_with_its_reason() {
    let dangers = [
        (
            "RACK",
            "subjects",
            json!(["rack.tick"]),
            "messages would be refused",
        ),
        (
            "TASK",
            "retention",
            json!("limits"),
            "kept or dropped at the wrong time",
        ),
        (
            "TASK",
            "max_age",
            json!(3_600_000_000_000u64),
            "work that waits could be dropped",
        ),
        (
            "RACK",
            "allow_msg_schedules",
            json!(false),
            "nothing could be held back",
        ),
        ("TASK", "allow_atomic", json!(false), "could go out in part"),
        (
            "KV_machines",
            "storage",
            json!("memory"),
            "would not survive a restart",
        ),
    ];
    for (stream, field, value, reason) in dangers {
        let broker = Broker::start().await;
        let bus = broker.connect().await;
        setup(&bus, &with(stream, field, value)).await.unwrap();
        let said = reasons(ensure(&bus, &declared()).await);
        assert!(said.contains(field) && said.contains(reason), "{said}");
    }
}

#[tokio::test]
async fn a_consumer_over_what_is_held_back_stops_a_role_and_setup() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let config =
        json!({"name": "nosy", "ack_policy": "explicit", "filter_subject": "rack.schedule.>"});
    let request = json!({"stream_name": "RACK", "config": config});
    broker
        .request("$JS.API.CONSUMER.CREATE.RACK.nosy", request.to_string())
        .await;
    let expected =
        "consumer nosy of RACK takes `rack.schedule.>`, which takes away what is held back";
    assert!(reasons(ensure(&bus, &declared()).await).contains(expected));
    assert!(reasons(setup(&bus, &declared()).await).contains(expected));
}

#[tokio::test]
async fn another_filter_of_our_own_consumer_stops_a_role_and_setup_puts_it_right() {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    let mut topology = declared();
    consumer(&mut topology, "TASK", "watch")
        .insert("filter_subject".into(), json!("task.watch.r1.*"));
    setup(&bus, &topology).await.unwrap();
    assert!(
        reasons(ensure(&bus, &declared()).await)
            .contains("it would take other messages than its own")
    );
    let changes = setup(&bus, &declared()).await.unwrap().changes;
    assert_eq!(
        changes,
        [
            "consumer watch of TASK: filter_subject changed from \"task.watch.r1.*\" to \"task.watch.>\""
        ]
    );
    assert_eq!(differences(&bus).await, []);
}

#[tokio::test]
async fn more_room_than_the_server_has_is_refused_with_what_to_do() {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    let wanted = Topology::declared(Retention {
        bytes: 1 << 60,
        ..Retention::default()
    });
    let error = setup(&bus, &wanted).await.unwrap_err();
    assert!(matches!(error, BusError::NoRoom { .. }), "{error:?}");
    let said = error.to_string();
    for part in [
        "creating stream EVENTS",
        "max_file_store",
        "RACKTICK_EVENTS_MAX_BYTES",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(setup(&bus, &declared()).await.unwrap().changes.len(), 10);
}
