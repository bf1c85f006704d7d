//! Odd machines.

use lab::{LabConfig, ODDITIES};
use serde_json::{Value, json};

use crate::client::{Bench, slow};

#[tokio::test]
async fn without_options_every_machine_is_eligible() {
    let bench = Bench::start(LabConfig {
        racks: 2,
        machines: 8,
        ..slow()
    })
    .await;
    for rack in ["r1", "r2"] {
        let machines = bench
            .maas_get(&format!("machines/?tags={rack}"))
            .await
            .json();
        let machines = machines.as_array().unwrap();
        assert_eq!(machines.len(), 8);
        for machine in machines {
            assert_eq!(
                (&machine["status_name"], &machine["owner"]),
                (&json!("Ready"), &json!(null))
            );
            assert_eq!(machine["locked"], false);
            let name = machine["hostname"].as_str().unwrap();
            let agent = bench.get(&format!("/v1/agents/data/{name}")).await.json();
            assert_eq!(
                (&agent["state"], &agent["location"]),
                (&json!("waiting"), &json!("TOR3"))
            );
            assert_eq!(agent["restricted_to"], json!({}));
            assert!(agent["queues"].as_array().unwrap().contains(&json!(name)));
        }
    }
    assert_eq!(
        bench
            .get("/v1/agents/data")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        16
    );
}

#[tokio::test]
async fn odd_machines_are_odd_in_the_documented_order() {
    let odd = u32::try_from(ODDITIES.len()).unwrap();
    let bench = Bench::start(LabConfig {
        racks: 1,
        machines: odd + 1,
        odd,
        ..slow()
    })
    .await;
    let mut machines: Vec<Value> = Vec::new();
    let mut agents: Vec<Value> = Vec::new();
    for number in 1..=odd + 1 {
        let found = bench
            .maas_get(&format!("machines/?hostname=r1-m{number:02}"))
            .await
            .json();
        machines.push(found.get(0).cloned().unwrap_or(Value::Null));
        agents.push(
            bench
                .get(&format!("/v1/agents/data/r1-m{number:02}"))
                .await
                .json(),
        );
    }
    assert_eq!(
        (&machines[0]["status_name"], &agents[0]["state"]),
        (&json!("Ready"), &json!("waiting"))
    );
    let queues = bench.get("/v1/agents/queues").await.json();
    assert_eq!((&agents[1], &queues), (&json!({}), &json!({"r1-m02": ""})));
    assert_eq!(agents[2]["state"], "offline");
    assert_eq!(agents[3]["state"], "maintenance");
    assert_eq!(agents[4]["location"], "TEL1");
    let silent: jiff::Timestamp = agents[5]["updated_at"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(silent) > jiff::SignedDuration::from_hours(26));
    assert_eq!(agents[6]["restricted_to"], json!({"r1-m07": ["lab-owner"]}));
    assert_eq!(agents[7]["provision_streak_type"], "fail");
    assert!(agents[7]["provision_streak_count"].as_u64().unwrap() > 20);
    assert_eq!(
        (&machines[8]["locked"], &machines[8]["owner"]),
        (&json!(true), &json!("lab"))
    );
    assert_eq!(
        (&machines[9]["status_name"], &machines[9]["owner"]),
        (&json!("Deployed"), &json!("alice"))
    );
    assert_eq!(
        (&agents[10], &machines[10]["hostname"]),
        (&json!({}), &json!("r1-m11"))
    );
    assert_eq!(
        (&agents[11]["name"], &machines[11]),
        (&json!("r1-m12"), &Value::Null)
    );
}
