//! A submit in the worker that did the tick: it begins with the record that the tick saw, which may be stale by then.

use std::sync::Arc;

use bus::runtime::Handler as _;
use model::machine::{Claim, Submitting};
use model::outcome::SkipReason;
use model::task::Submit;
use testflinger::{Limits, Root, Settings, Testflinger};
use worker::submit::Handler;

use crate::world::{Letter, Rack, World, ago, claim_of, skipped, submits};

/// A handler whose ledger remembers the record as it is now.
async fn remembering(rack: &Rack, task: &Submit) -> Handler {
    let ledger = rack.ledger();
    ledger.machines_of([&task.machine]).await.unwrap();
    let settings = Settings {
        server: Root::parse(&rack.lab.testflinger_url()).unwrap(),
        credentials: None,
        limits: Limits::default(),
        ca: None,
        secrets: Vec::new(),
    };
    let testflinger = Testflinger::new(settings).unwrap();
    Handler::new(ledger, testflinger, Arc::new(rack.settings.clone()))
}

async fn submit(handler: &Handler, task: &Submit) {
    let letter = Letter::submit(task);
    handler
        .handle(letter.task.clone(), &letter.delivery)
        .await
        .unwrap();
}

#[tokio::test]
async fn on_an_unchanged_record_it_submits_once_however_often_it_comes() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let handler = remembering(&rack, task).await;
    submit(&handler, task).await;
    submit(&handler, task).await;
    assert_eq!(rack.posts(), 1);
    rack.follow(task).await;
    rack.ended(record.cycle).await;
}

#[tokio::test]
async fn a_claim_taken_since_then_is_respected() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let handler = remembering(&rack, task).await;
    let other = Submitting {
        job: model::id::JobId::of(
            task.cycle,
            &model::name::MachineName::new("another").unwrap(),
        ),
        ..claim_of(task, ago(-60))
    };
    rack.change(&task.machine, |record| {
        record.claim = Claim::Submitting(other.clone());
    })
    .await;
    submit(&handler, task).await;
    assert_eq!(rack.posts(), 0);
    let settled = rack.machine(&task.machine).await.settled[&task.job].clone();
    assert_eq!(skipped(&settled.outcome).reason, SkipReason::InFlight);
}

#[tokio::test]
async fn a_job_that_ended_since_then_is_not_submitted_again() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let handler = remembering(&rack, task).await;
    rack.run(task).await;
    rack.follow(task).await;
    let verdict = rack.machine(&task.machine).await;
    submit(&handler, task).await;
    assert_eq!(rack.posts(), 1);
    assert_eq!(rack.machine(&task.machine).await, verdict);
    rack.ended(record.cycle).await;
}
