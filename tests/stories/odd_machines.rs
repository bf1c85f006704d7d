//! One machine of every odd kind.

use std::collections::BTreeMap;

use model::event::Fact;
use model::name::MachineName;
use model::outcome::SkipReason;
use tests::{SOON, System, machines};

#[tokio::test]
async fn every_odd_machine_is_left_alone_for_its_own_reason() {
    let odd = [
        "--machines",
        "14",
        "--odd",
        "11",
        "--racks",
        "1",
        "--speed",
        "300",
    ];
    let system = System::start(&odd).await;
    system.add_rack("r1").await;
    let _workers = [system.worker("w1"), system.worker("w2")];
    let all = machines("r1", 14);
    system.lab.fail_next(&all[1]).await;
    system.tick(b"r1").await;
    let cycle = system.until_finished(1, SOON).await;
    // The last of the odd ones is unknown to MAAS, so it belongs to no rack.
    system.assert_one_job_each(&[cycle], &all[..3]).await;

    let mut told: BTreeMap<MachineName, Vec<SkipReason>> = BTreeMap::new();
    let mut finished = None;
    for event in system.events().await {
        match event.fact {
            Fact::MachineSkipped { machine, skip } => {
                told.entry(machine).or_default().push(skip.reason);
            }
            Fact::CycleFinished { counts, .. } => finished = Some(counts),
            _ => {}
        }
    }
    let expected = [
        SkipReason::NoAgent,
        SkipReason::AgentOffline,
        SkipReason::AgentOffline,
        SkipReason::OtherLocation,
        SkipReason::AgentSilent,
        SkipReason::QueueRestricted,
        SkipReason::FailStreak,
        SkipReason::MaasLocked,
        SkipReason::MaasOwner,
        SkipReason::NoAgent,
    ];
    let expected: BTreeMap<MachineName, Vec<SkipReason>> = all[3..13]
        .iter()
        .zip(expected)
        .map(|(machine, reason)| (MachineName::new(machine).unwrap(), vec![reason]))
        .collect();
    assert_eq!(told, expected);

    let counts = finished.unwrap();
    let mut reasons = BTreeMap::new();
    for reason in expected.values().flatten() {
        *reasons.entry(*reason).or_insert(0) += 1;
    }
    assert_eq!(counts.reasons, reasons, "{counts:?}");
    let record = system.cycle("r1", cycle).await;
    assert_eq!(counts, record.counts());
    assert_eq!(record.outcomes.len(), 3);
    for (machine, reasons) in &expected {
        let shown = system.json(&["machine", machine.as_str()]).await;
        let reason = &shown["decision"]["skip"]["reason"];
        assert_eq!(*reason, reasons[0].as_str(), "{shown}");
    }
    let deployed = system.json(&["machine", &all[0]]).await;
    assert_eq!(deployed["decision"]["skip"], serde_json::Value::Null);
    assert_eq!(
        deployed["decisions"]["items"][0]["cycle"],
        cycle.to_string()
    );
    assert_eq!(deployed["verdicts"].as_array().unwrap().len(), 1);
    // What failed is said with the last lines that it wrote, as text.
    let failed = system.run(&["machine", &all[1]]).await;
    for words in [
        "provision, exit status 1, wrote last:",
        &format!("\nERROR: Deployment of machine {} failed\n", all[1]),
        "ProvisioningError: the device could not be provisioned",
    ] {
        assert!(failed.contains(words), "{words}: {failed}");
    }
    let failed = system.json(&["machine", &all[1]]).await;
    let kept = &failed["evidence"]["output"]["provision"];
    assert!(
        kept["end"].as_str().unwrap().contains("Deploying noble"),
        "{failed}"
    );
    let nobody = system.try_run(&["machine", "nobody"]).await;
    assert!(
        nobody.stderr.contains("no event about a machine `nobody`"),
        "{nobody:?}"
    );

    // Nothing of anybody else's was touched.
    let stats = system.lab.stats().await;
    assert_eq!(stats.provisions_of_foreign_machines, 0);
}
