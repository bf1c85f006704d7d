//! The fleet for Prometheus.

use std::collections::BTreeSet;
use std::time::Duration;

use dashboard::broker::WorkView;
use dashboard::living::RoleView;
use jiff::Timestamp;
use model::name::RackName;
use model::rack::RackRecord;
use model::schedule::Schedule;
use reqwest::header::CONTENT_TYPE;

use crate::dashboard::Dashboard;

fn role(role: &str) -> RoleView {
    RoleView {
        role: role.into(),
        id: "x".into(),
        name: None,
        host: None,
        version: "1.0.0".into(),
        since: Timestamp::now(),
        heard_at: Timestamp::now(),
    }
}

#[tokio::test]
async fn metrics_count_what_the_fleet_shows() {
    let dashboard = Dashboard::told(14).await;
    let rack = RackName::new("r0").unwrap();
    let every = Schedule::Every {
        every: Duration::from_secs(3600),
        splay: None,
    };
    dashboard.schedules.send_modify(|schedules| {
        let record = RackRecord::new(every, Timestamp::now());
        schedules.racks.insert(rack, record);
    });
    dashboard.standing.send_modify(|broker| {
        broker.dead_letters = 3;
        broker.roles = Some(vec![role("worker"), role("worker"), role("<b>")]);
        broker.work.push(WorkView {
            kind: "submit".into(),
            waiting: 5,
            at_work: 2,
            again: 0,
            takers: 0,
            lacking: Vec::new(),
            oldest: Some(Timestamp::now()),
        });
    });
    let answer = dashboard.get("/metrics").await;
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text().await.unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {text}"))
            .trim()
            .parse()
            .unwrap()
    };
    let fleet = dashboard.json("/api/v1/fleet").await;
    let cells = fleet["racks"][0]["cells"].as_array().unwrap();
    for health in [
        "ok",
        "failing",
        "suspect",
        "quarantined",
        "stale",
        "unknown",
    ] {
        let shown = cells.iter().filter(|cell| cell["health"] == health).count();
        let name = format!("racktick_machines{{rack=\"r0\",health=\"{health}\"}}");
        assert_eq!(value(&name), shown as f64, "{health}");
    }
    let left_alone = cells
        .iter()
        .filter(|cell| !cell["decision"]["skip"].is_null())
        .count();
    let told: f64 = text
        .lines()
        .filter(|line| line.starts_with("racktick_machines_left_alone{rack=\"r0\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert!(left_alone > 0, "the story tells of none");
    assert_eq!(told, left_alone as f64);
    let passed = cells.iter().filter_map(|cell| cell["passed_at"].as_str());
    let passed: BTreeSet<Timestamp> = passed.map(|at| at.parse().unwrap()).collect();
    assert!(passed.len() > 1, "the story tells of one");
    assert_eq!(
        value("racktick_rack_last_success_timestamp_seconds{rack=\"r0\"}"),
        passed.last().unwrap().as_duration().as_secs_f64()
    );
    let deploying = cells.iter().filter(|cell| !cell["job"].is_null()).count();
    assert!(
        deploying * 2 != cells.len(),
        "as many have a job as have none"
    );
    assert_eq!(
        value("racktick_machines_deploying{rack=\"r0\"}"),
        deploying as f64
    );
    assert!(value("racktick_rack_next_slot_timestamp_seconds{rack=\"r0\"}") > 1.7e9);
    assert_eq!(value("racktick_rack_paused{rack=\"r0\"}"), 0.0);
    assert_eq!(value("racktick_dead_letters "), 3.0);
    assert_eq!(value("racktick_tasks_waiting{kind=\"submit\"}"), 5.0);
    assert!(value("racktick_tasks_oldest_timestamp_seconds{kind=\"submit\"}") > 1.7e9);
    assert_eq!(value("racktick_roles_alive{role=\"worker\"}"), 2.0);
    assert_eq!(value("racktick_roles_alive{role=\"scheduler\"}"), 0.0);
    assert!(!text.contains("<b>"), "no stranger is a label");
    assert!(!text.contains("node0"), "no machine is a label");

    let document = include_str!("../../../../docs/metrics.md");
    let (_, section) = document.split_once("\n## Dashboard\n").unwrap();
    let rows = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `racktick_"));
    let documented: BTreeSet<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    let types = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE racktick_"));
    let told: BTreeSet<&str> = types.map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(told, documented);
}
