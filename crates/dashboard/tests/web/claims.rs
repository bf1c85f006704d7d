//! The claims of machines, as the broker's records have them.

use jiff::{SignedDuration, Timestamp};
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord, Running, Submitting};
use model::name::{MachineName, RackName};
use model::subject::key;
use testkit::until;

use crate::dashboard::{Dashboard, SOON};

#[tokio::test]
async fn a_claim_is_shown_while_it_is_held_and_too_long_ones_are_told_first() {
    let dashboard = Dashboard::start(&[]).await;
    dashboard
        .standing
        .send_modify(|view| view.at = Some(Timestamp::now()));
    assert!(
        dashboard
            .page("/system")
            .await
            .contains("were not read yet")
    );
    assert!(dashboard.json("/api/v1/system").await["claims"].is_null());

    let (ledger, claims) = (dashboard.ledger.clone(), dashboard.claims.clone());
    tokio::spawn(async move { dashboard::claims::follow(&ledger, &claims).await });
    let rack = RackName::new("r7").unwrap();
    let at = |minutes: i64| Timestamp::now() + SignedDuration::from_mins(minutes);
    let cycle = CycleId::of_slot(&rack, at(0));
    let running = |name: &MachineName, deadline| {
        Claim::Running(Running {
            job: JobId::of(cycle, name),
            cycle,
            rack: rack.clone(),
            submitted_at: at(-90),
            deadline,
            deploy_by: at(-60),
            renewed: false,
            doubled: None,
            verdict: None,
            cancel: None,
        })
    };
    let submitting = |name: &MachineName, until| {
        Claim::Submitting(Submitting {
            job: JobId::of(cycle, name),
            cycle,
            rack: rack.clone(),
            by: "w<1>".into(),
            attempt: cycle.to_string().parse().unwrap(),
            until,
            deploy_by: at(10),
            renewed: false,
            cancel: None,
        })
    };
    let machine = |name: &str| MachineName::new(name).unwrap();
    let put = async |name: &MachineName, claim| {
        let mut entry = dashboard.ledger.machine(name).await.unwrap();
        entry.record = MachineRecord {
            claim,
            ..entry.record
        };
        dashboard.ledger.write_machine(name, &entry).await.unwrap();
    };
    let (late, on_its_way, idle) = (machine("m1"), machine("m2"), machine("m3"));
    put(&on_its_way, submitting(&on_its_way, at(5))).await;
    put(&late, running(&late, at(-1))).await;
    put(&idle, Claim::Idle).await;

    until(SOON, "both are known", async || {
        dashboard.json("/api/v1/system").await["claims"] == 2
    })
    .await;
    let claimed = &dashboard.json("/api/v1/system").await["claimed"];
    let told = |number: usize| (&claimed[number]["machine"], &claimed[number]["state"]);
    assert_eq!(told(0), (&"m1".into(), &"running".into()));
    assert_eq!(told(1), (&"m2".into(), &"submitting".into()));
    assert_eq!(claimed[0]["job"], JobId::of(cycle, &late).to_string());
    let page = dashboard.page("/system").await;
    for wanted in [
        "2 machines are claimed by a job.",
        "▲ 1 for longer than it should be",
        "▲ its job is overdue",
        "by <bdi>w&lt;1&gt;</bdi>",
    ] {
        assert!(page.contains(wanted), "{wanted} in {page}");
    }

    put(&late, Claim::Idle).await;
    put(&on_its_way, submitting(&on_its_way, at(-1))).await;
    until(SOON, "one is free, and one is left alone", async || {
        let page = dashboard.page("/system").await;
        page.contains("1 machine is claimed")
            && page.contains("did not go on with it: does it run?")
    })
    .await;
    let key = key::machine(&on_its_way);
    dashboard
        .ledger
        .machines()
        .delete(&key, None)
        .await
        .unwrap();
    until(SOON, "none is left", async || {
        dashboard.json("/api/v1/system").await["claims"] == 0
    })
    .await;
}
