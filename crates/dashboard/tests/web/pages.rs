//! What pages show, and what every answer says of itself.

use std::collections::BTreeSet;
use std::time::Duration;

use dashboard::broker::WorkView;
use dashboard::follow::Progress;
use dashboard::living::RoleView;
use dashboard::schedules::Schedules;
use jiff::Timestamp;
use model::cycle::Origin;
use model::event::{Event, Fact};
use model::id::CycleId;
use model::name::{MachineName, RackName};
use model::outcome::{Skip, SkipReason};
use model::rack::RackRecord;
use model::schedule::Schedule;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_SECURITY_POLICY, HOST};
use serde_json::Value;

use crate::dashboard::Dashboard;

fn first<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap()
}

#[tokio::test]
async fn the_system_page_names_what_does_not_answer_and_what_is_not_in_step() {
    let dashboard = Dashboard::told(0).await;
    dashboard.standing.send_modify(|broker| {
        broker.at = Some(Timestamp::now());
        broker.silent = vec!["consumer watch of TASK".into()];
        broker.work.push(WorkView {
            kind: "submit".into(),
            waiting: 0,
            at_work: 0,
            again: 0,
            takers: 1,
            lacking: vec!["2 to be given a copy".into()],
            oldest: None,
        });
    });
    let page = dashboard.page("/system").await;
    for part in [
        "no answer: consumer watch of TASK",
        "not in step: 2 to be given a copy",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[tokio::test]
async fn every_page_shows_what_the_api_says() {
    let dashboard = Dashboard::told(3).await;
    let fleet = dashboard.json("/api/v1/fleet").await;
    let rack = first(&fleet, "/racks/0/rack");
    let machine = first(&fleet, "/racks/0/cells/0/machine");
    let cycle = first(&fleet, "/racks/0/last/cycle");
    let job = fleet["racks"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rack| rack["cells"].as_array().unwrap())
        .find_map(|cell| cell.pointer("/last/job"))
        .and_then(Value::as_str)
        .unwrap();
    for (page, api, word) in [
        ("/".to_owned(), "/api/v1/fleet".to_owned(), machine),
        (
            format!("/racks/{rack}"),
            format!("/api/v1/racks/{rack}"),
            machine,
        ),
        (
            format!("/cycles/{cycle}"),
            format!("/api/v1/cycles/{cycle}"),
            rack,
        ),
        (
            format!("/machines/{machine}"),
            format!("/api/v1/machines/{machine}"),
            rack,
        ),
        (format!("/jobs/{job}"), format!("/api/v1/jobs/{job}"), job),
        (
            "/trends?days=3650".into(),
            "/api/v1/trends?days=3650".into(),
            rack,
        ),
        ("/now".into(), "/api/v1/events".into(), rack),
    ] {
        assert!(dashboard.page(&page).await.contains(word), "{page}");
        let answer = dashboard.json(&api).await;
        assert!(answer["as_of"]["at"].is_string(), "{api}: {answer}");
        assert!(answer.to_string().contains(word), "{api}");
    }
}

#[tokio::test]
async fn a_cycle_draws_when_each_of_its_jobs_was_at_work() {
    let dashboard = Dashboard::told(3).await;
    let fleet = dashboard.json("/api/v1/fleet").await;
    let cycle = first(&fleet, "/racks/0/last/cycle");
    let view = dashboard.json(&format!("/api/v1/cycles/{cycle}")).await;
    let decisions = view["decisions"].as_array().unwrap();
    let jobs = decisions.iter().map(|decision| &decision["job"]);
    let outcomes: Vec<&str> = jobs
        .filter(|job| job["submitted_at"].is_string())
        .map(|job| job["outcome"]["kind"].as_str().unwrap_or("deploying"))
        .collect();
    assert!(!outcomes.is_empty(), "{view}");
    let page = dashboard.page(&format!("/cycles/{cycle}")).await;
    for outcome in &outcomes {
        let drawn = page.matches(&format!("class=\"bar {outcome}\"")).count();
        let told = outcomes.iter().filter(|other| *other == outcome).count();
        assert_eq!(drawn, told, "{outcome}");
    }
}

#[tokio::test]
async fn the_front_page_says_what_to_do_and_what_is_wrong() {
    let dashboard = Dashboard::start(&[]).await;
    let empty = dashboard.page("/").await;
    assert!(empty.contains("racktick rack add"), "{empty}");
    assert!(!empty.contains("answers"), "{empty}");

    let every = Schedule::Every {
        every: Duration::from_secs(3600),
        splay: None,
    };
    let record = RackRecord::new(every, Timestamp::now());
    dashboard.schedules.send_modify(|schedules| {
        schedules.racks.insert(RackName::new("r7").unwrap(), record);
    });
    let scheduler = RoleView {
        role: "scheduler".into(),
        id: "1".into(),
        name: None,
        host: None,
        version: "1.0.0".into(),
        since: Timestamp::now(),
        heard_at: Timestamp::now(),
    };
    dashboard.standing.send_modify(|standing| {
        standing.roles = Some(vec![scheduler]);
        standing.dead_letters = 2;
    });
    let page = dashboard.page("/").await;
    for words in [
        "id=\"rack-r7\"",
        "next slot",
        "It has not ticked yet.",
        "no worker answers",
        "2 dead letters",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("no scheduler answers"), "{page}");
    // Whoever looks for something is not told of racks that have nothing.
    let found = dashboard.page("/?q=nothing").await;
    assert!(!found.contains("rack-r7"), "{found}");
}

#[tokio::test]
async fn the_front_page_says_in_words_who_was_left_alone() {
    let slot: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
    let rack = RackName::new("r7").unwrap();
    let skipped = |number: u32| Event {
        time: slot,
        cycle: CycleId::of_slot(&rack, slot),
        rack: rack.clone(),
        fact: Fact::MachineSkipped {
            machine: MachineName::new(format!("node{number:02}")).unwrap(),
            skip: Skip::of(SkipReason::AgentOffline, "maintenance"),
        },
    };
    let mut events: Vec<Event> = (0..15).map(skipped).collect();
    events.push(Event {
        fact: Fact::CycleStarted {
            origin: Origin::Slot { slot },
        },
        ..events[0].clone()
    });
    let dashboard = Dashboard::start(&events).await;
    let page = dashboard.page("/").await;
    let (_, section) = page.split_once("<section id=\"left-alone\">").unwrap();
    let (section, _) = section.split_once("</section>").unwrap();
    for words in [
        "15 machines left alone",
        SkipReason::AgentOffline.meaning(),
        "/machines/node11",
        "<a href=\"/?q=agent_offline\">and 3 more</a>",
    ] {
        assert!(section.contains(words), "{words}: {section}");
    }
    assert!(!section.contains("/machines/node12"), "{section}");
    let card = page.split_once("id=\"rack-r7\"").unwrap().1;
    assert!(card.contains("/machines/node12"), "{card}");
}

#[tokio::test]
async fn of_whom_no_verdict_was_seen_is_told_what_is_known() {
    let slot: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
    let rack = RackName::new("r7").unwrap();
    let skipped = |machine: &str, skip| Event {
        time: slot,
        cycle: CycleId::of_slot(&rack, slot),
        rack: rack.clone(),
        fact: Fact::MachineSkipped {
            machine: MachineName::new(machine).unwrap(),
            skip,
        },
    };
    let dashboard = Dashboard::start(&[
        skipped("broken", Skip::of(SkipReason::FailStreak, "24 in a row")),
        skipped("locked", Skip::new(SkipReason::MaasLocked)),
    ])
    .await;
    let (before, unproved) = ("failed before racktick's first job", "was proved yet");
    let front = dashboard.page("/").await;
    let (_, attention) = front.split_once("id=\"attention\"").unwrap();
    let (attention, _) = attention.split_once("</section>").unwrap();
    assert!(attention.contains("24 in a row"), "{attention}");
    let (broken, locked) = ("/machines/broken", "/machines/locked");
    for (page, words, others) in [
        (attention, before, unproved),
        (&dashboard.page(broken).await, before, unproved),
        (&dashboard.page(locked).await, unproved, before),
    ] {
        assert!(page.contains(words) && !page.contains(others), "{page}");
    }
    // Its tab says how many do not deploy.
    assert!(
        front.contains("<title>✖ 1 · Fleet · racktick</title>"),
        "{front}"
    );
    assert!(
        front.contains("data-name=\"✖ 1 · Fleet · racktick\""),
        "{front}"
    );
    let now = dashboard.page("/now").await;
    assert!(now.contains("<title>Now · racktick</title>"), "{now}");
}

#[tokio::test]
async fn whoever_cannot_hear_of_the_broker_says_since_when() {
    let dashboard = Dashboard::told(7).await;
    assert_eq!(dashboard.page("/readyz").await, "ok\n");
    assert!(!dashboard.page("/").await.contains("was not heard of"));
    dashboard
        .progress
        .send_modify(|progress| progress.at = Some("2026-11-28T00:00:00Z".parse().unwrap()));
    let page = dashboard.page("/").await;
    assert!(
        page.contains("The broker was not heard of since <time datetime=\"2026-11-28T00:00:00Z\"")
    );
    let says = dashboard
        .problem("/readyz", StatusCode::SERVICE_UNAVAILABLE)
        .await;
    assert!(says.contains("2026-11-28T00:00:00Z"), "{says}");
    dashboard.progress.send_replace(Progress {
        at: Some(Timestamp::now()),
        pending: 3,
        ..Progress::default()
    });
    let says = dashboard
        .problem("/readyz", StatusCode::SERVICE_UNAVAILABLE)
        .await;
    assert!(says.contains("3 events are still to be read"), "{says}");
    dashboard.progress.send_replace(Progress::default());
    let says = dashboard
        .problem("/readyz", StatusCode::SERVICE_UNAVAILABLE)
        .await;
    assert!(says.contains("not read yet"), "{says}");
    assert_eq!(dashboard.page("/healthz").await, "ok\n");
}

#[tokio::test]
async fn what_was_not_read_is_not_said_to_be_none() {
    let none = [
        ("/", "it has no schedule", "its schedule was not read yet"),
        (
            "/racks/r0",
            "It has no schedule",
            "its schedule was not read yet",
        ),
        (
            "/system",
            ">none<",
            "the racks' schedules were not read yet",
        ),
    ];
    let dashboard = Dashboard::told(7).await;
    for (path, is_none, _) in none {
        assert!(dashboard.page(path).await.contains(is_none), "{path}");
    }
    dashboard.schedules.send_replace(Schedules::default());
    for (path, _, is_unknown) in none {
        assert!(dashboard.page(path).await.contains(is_unknown), "{path}");
    }
    assert!(
        !dashboard
            .page("/racks/r0")
            .await
            .contains("It has no schedule")
    );
    let empty = Dashboard::start(&[]).await;
    assert!(empty.page("/").await.contains("There is no rack yet"));
    empty.schedules.send_replace(Schedules::default());
    assert!(
        empty
            .page("/")
            .await
            .contains("the racks were not read yet")
    );
}

#[tokio::test]
async fn no_events_for_long_is_said_on_every_page() {
    let dashboard = Dashboard::told(7).await;
    for page in ["/", "/trends", "/system"] {
        let page = dashboard.page(page).await;
        // What this dashboard was told is of another month.
        assert!(
            page.contains("No events for") && page.contains(" days, since <time"),
            "{page}"
        );
    }
    dashboard.progress.send_replace(Progress::default());
    let page = dashboard.page("/").await;
    assert!(
        !page.contains("No events for") && page.contains("data-as-of"),
        "{page}"
    );
}

#[tokio::test]
async fn machines_and_jobs_lead_to_testflinger_and_maas() {
    let dashboard = Dashboard::told(3).await;
    let fleet = dashboard.json("/api/v1/fleet").await;
    let machine = first(&fleet, "/racks/0/cells/0/machine");
    let page = dashboard.page(&format!("/machines/{machine}")).await;
    for address in [
        format!("http://testflinger.example/agents/{machine}"),
        format!("http://maas.example/MAAS/r/machines?hostname=%3D{machine}"),
    ] {
        assert!(
            page.contains(&format!("href=\"{address}\"")),
            "{address} in {page}"
        );
    }
    let jobs = dashboard
        .json("/api/v1/events?kind=job.finished&limit=1")
        .await;
    let job = first(&jobs, "/items/0/job");
    let page = dashboard.page(&format!("/jobs/{job}")).await;
    assert!(
        page.contains(&format!("href=\"http://testflinger.example/jobs/{job}\"")),
        "{page}"
    );
}

#[tokio::test]
async fn what_strangers_wrote_is_text() {
    let hostile = "<script>alert(1)</script>\u{202e}";
    let rack = RackName::new("r0").unwrap();
    let slot: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
    let event = |seconds, fact| Event {
        time: slot + jiff::SignedDuration::from_secs(seconds),
        rack: rack.clone(),
        cycle: CycleId::of_slot(&rack, slot),
        fact,
    };
    let by_hand = Fact::CycleStarted {
        origin: Origin::Manual {
            by: Some(hostile.into()),
            reason: Some(hostile.into()),
        },
    };
    let failed = Fact::CycleFailed {
        attempts: 1,
        cause: hostile.into(),
        message: hostile.into(),
    };
    let dashboard = Dashboard::start(&[event(0, by_hand), event(1, failed)]).await;
    let cycle = format!("/cycles/{}", CycleId::of_slot(&rack, slot));
    for path in [
        "/",
        "/racks/r0",
        &cycle,
        "/now",
        "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
    ] {
        let page = dashboard.page(path).await;
        assert!(!page.contains("<script>"), "{path}");
        assert!(page.contains("&lt;script&gt;"), "{path}");
    }
}

#[tokio::test]
async fn every_answer_allows_nothing_from_elsewhere() {
    let dashboard = Dashboard::told(8).await;
    let mut policies = BTreeSet::new();
    for path in [
        "/",
        "/api/v1/fleet",
        "/assets/live.js",
        "/healthz",
        "/nothing",
    ] {
        let answer = dashboard.get(path).await;
        let policy = answer.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        assert_eq!(
            answer.headers()["x-content-type-options"],
            "nosniff",
            "{path}"
        );
        policies.insert(policy);
    }
    assert_eq!(policies.len(), 1);
    let page = dashboard.page("/").await;
    assert!(!page.contains(" style=") && !page.contains(" onclick="));

    let under_another_name = async |path: &str| {
        let url = format!("http://{}{path}", dashboard.address);
        let request = dashboard.client.get(url).header(HOST, "evil.example");
        request.send().await.unwrap().status()
    };
    let refused = under_another_name("/api/v1/fleet").await;
    assert_eq!(refused, StatusCode::MISDIRECTED_REQUEST);
    // Probes call a pod by its address.
    assert_eq!(under_another_name("/readyz").await, StatusCode::OK);
}

#[tokio::test]
async fn trends_tell_of_racks_distros_and_phases() {
    let dashboard = Dashboard::told(9).await;
    let page = dashboard.page("/trends?days=3650").await;
    let section = |id: &str| {
        let (_, rest) = page.split_once(&format!("id=\"{id}\"")).unwrap();
        rest.split("</section>").next().unwrap().to_owned()
    };
    for (id, words) in [("racks", ["r0", "r1"]), ("distros", ["noble", "jammy"])] {
        let section = section(id);
        for word in words {
            assert!(section.contains(&format!(">{word}<")), "{id}: {section}");
        }
        assert!(section.contains("% of") && section.contains("<svg"), "{id}");
    }
    let trends = dashboard.json("/api/v1/trends?days=3650").await;
    let phases = trends["phases"].as_array().unwrap();
    // Both racks have both distros, and every job was seen in both phases unless it was over before.
    assert_eq!(phases.len(), 8);
    let median = |phase: &Value| -> jiff::SignedDuration {
        phase["median"].as_str().unwrap().parse().unwrap()
    };
    assert!(phases.is_sorted_by(|a, b| median(a) >= median(b)));
    let section = section("phases");
    for word in ["noble", "jammy", "provision", "test"] {
        assert!(section.contains(word), "{word}: {section}");
    }
    assert_eq!(section.matches("<svg").count(), phases.len());
}
