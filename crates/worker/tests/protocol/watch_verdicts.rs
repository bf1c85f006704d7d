//! What a job's result proves, through the whole chain: the agent's report, the look, the record, the event.

use model::event::Fact;
use model::outcome::{FailCause, Outcome, Phase};
use serde_json::Value;

use crate::world::{World, phases, submits};

fn failed(cause: FailCause, phase: Phase, exit_code: i64) -> Outcome {
    Outcome::Failed {
        cause,
        phase: Some(phase),
        exit_code: Some(exit_code),
    }
}

#[tokio::test]
async fn a_result_is_a_verdict() {
    let cases: Vec<(&str, Value, Outcome)> = vec![
        (
            "complete",
            phases([("setup", 0), ("provision", 0), ("cleanup", 0)]),
            Outcome::Passed,
        ),
        ("completed", phases([("provision", 0)]), Outcome::Passed),
        (
            "complete",
            phases([("provision", 0), ("cleanup", 9)]),
            Outcome::Passed,
        ),
        (
            "complete",
            phases([("provision", 1), ("cleanup", 0)]),
            failed(FailCause::Phase, Phase::Provision, 1),
        ),
        (
            "complete",
            phases([("setup", 2), ("provision", 1)]),
            failed(FailCause::Phase, Phase::Setup, 2),
        ),
        (
            "complete",
            phases([("provision", 0), ("test", 3)]),
            failed(FailCause::Phase, Phase::Test, 3),
        ),
        (
            "complete",
            phases([("provision", 247)]),
            failed(FailCause::Killed, Phase::Provision, 247),
        ),
        (
            "complete",
            phases([("provision", 46)]),
            failed(FailCause::RecoveryFailed, Phase::Provision, 46),
        ),
        (
            "complete",
            phases([("setup", 0), ("cleanup", 0)]),
            Outcome::Failed {
                cause: FailCause::NotProvisioned,
                phase: None,
                exit_code: None,
            },
        ),
    ];
    let world = World::start().await;
    let rack = world.rack_by_hand("r1", cases.len()).await;
    let record = rack.cycle().await;
    let tasks = submits(&record);
    for (task, (state, statuses, _)) in tasks.iter().zip(&cases) {
        rack.run(task).await;
        rack.report(task, state, statuses.clone()).await;
        rack.follow(task).await;
    }
    let record = rack.ended(record.cycle).await;
    let finished = rack.events(record.cycle, "job", "finished").await;
    for (task, (state, statuses, verdict)) in tasks.iter().zip(&cases) {
        assert_eq!(
            record.outcomes[&task.machine], *verdict,
            "{state} {statuses}"
        );
        let told = finished.iter().find_map(|event| match &event.fact {
            Fact::JobFinished {
                job,
                verdict,
                statuses,
                ..
            } if job.job == task.job => Some((verdict, statuses.len())),
            _ => None,
        });
        assert_eq!(told, Some((verdict, statuses.as_object().unwrap().len())));
        assert_eq!(
            rack.machine(&task.machine).await.verdicts[0].outcome,
            *verdict
        );
    }
    let ends = rack.events(record.cycle, "cycle", "finished").await;
    let Fact::CycleFinished { counts, .. } = &ends[0].fact else {
        panic!()
    };
    assert_eq!(
        (counts.outcomes["passed"], counts.outcomes["failed"]),
        (3, 6)
    );
}
