//! `racktick why`.

use jiff::Timestamp;
use lab::{AgentChange, LabConfig};

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_has_its_rule_and_what_that_saw_and_how_old_it_was() {
    let world = World::new(LabConfig {
        odd: 1,
        ..LabConfig::default()
    })
    .await;
    let place = &world.place;
    let _worker = world.worker();
    place.run(&["tick", "r1", "--spread", "0"]).with_code(0);
    world.until_finished("r1").await;
    let offline = AgentChange {
        state: Some(Some("offline".into())),
        simulated: Some(false),
        ..AgentChange::default()
    };
    world.lab.change_agent("r1-m01", offline).unwrap();
    let heard = world.lab.agent("r1-m01").unwrap().updated_at.unwrap();
    place.run(&["tick", "r1", "--spread", "0"]).with_code(0);

    let why = place.json(&["why", "r1-m01"]);
    assert_eq!(why["health"], "ok");
    let decisions = why["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 2, "{why}");
    let rule = &decisions[0]["rule"];
    assert_eq!(
        (&rule["code"], &rule["saw"], &rule["order"]),
        (&"agent_offline".into(), &"offline".into(), &9.into())
    );
    // Testflinger tells it to the second.
    let told: Timestamp = rule["heard_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(told.as_second(), heard.as_second());
    assert!(rule["age_seconds"].as_i64().unwrap() >= 0);
    assert!(decisions[1]["rule"].is_null() && decisions[1]["skip"].is_null());
    assert_eq!(decisions[1]["job"]["outcome"]["kind"], "passed");
    let shown = place.run(&["why", "r1-m01"]).with_code(0).stdout;
    for wanted in [
        "● ok: It deployed the last time.",
        "– left alone: agent_offline: Its agent is offline or in maintenance.",
        "agent_offline, number 9 of 16",
        "Testflinger's list of agents, read for this decision, the agent's word of ",
        "deploy: no rule objected",
        "● passed",
    ] {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
    let one = place.json(&["why", "r1-m01", "--last", "1"]);
    assert_eq!(one["decisions"].as_array().unwrap().len(), 1);

    let nobody = place.json(&["why", "r1-m03"]);
    assert_eq!(nobody["decisions"][0]["rule"]["code"], "no_agent");
    assert!(nobody["decisions"][0]["rule"]["heard_at"].is_null());
    // No event tells yet of a job that is to be submitted in days.
    place.run(&["tick", "r2", "--spread", "5d"]).with_code(0);
    let later = place.json(&["why", "r2-m02"]);
    assert!(later["health"].is_null(), "{later}");
    let due: Timestamp = later["decisions"][0]["due_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(due > heard);
    let shown = place.run(&["why", "r2-m02"]).with_code(0).stdout;
    assert!(
        shown.contains("submit due") && shown.contains("(in "),
        "{shown}"
    );
    place.run(&["why", "r1-m01", "--last", "0"]).with_code(2);
    let unknown = place.run(&["why", "r1-m99"]).with_code(1).stderr;
    assert!(
        unknown.contains("no cycle has decided about a machine `r1-m99`"),
        "{unknown}"
    );
}
