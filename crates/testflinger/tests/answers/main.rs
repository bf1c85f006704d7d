#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! What Testflinger can answer to each call, good and bad, and what the caller is told.

mod agents;
mod jobs;
mod results;
mod server;

use std::collections::BTreeSet;

use serde_json::json;
use testflinger::{
    Agent, Cancel, Class, JobResult, JobSummary, Limits, Phase, Presence, Root, Settings,
    Testflinger, TestflingerError,
};
use testkit::wire::{Step, Wire, answer, json};

const JOB: &str = "6d0f2f6a-5c1b-5c0e-9d53-7a1e8b42c9d0";

fn testflinger_with(wire: &Wire, limits: Limits) -> Testflinger {
    let server = Root::parse(&wire.url()).unwrap();
    Testflinger::new(Settings {
        server,
        credentials: None,
        limits,
        ca: None,
        // A word of Testflinger's stays what it is, whoever has it for a password.
        secrets: vec!["complete".into()],
    })
    .unwrap()
}

fn testflinger(wire: &Wire) -> Testflinger {
    testflinger_with(wire, Limits::default())
}

/// A client of a server that always answers this.
async fn answering(raw: &str) -> (Testflinger, Wire) {
    let wire = Wire::answering(raw).await;
    (testflinger(&wire), wire)
}

fn text(status: &str, body: &str) -> String {
    answer(status, "content-type: text/html; charset=utf-8\r\n", body)
}

/// A 204 as the server sends it: its type still says JSON.
const NOTHING: &str = "HTTP/1.1 204 NO CONTENT\r\ncontent-type: application/json\r\n\r\n";

const PAGE: &str = "<!DOCTYPE html><html><body>Sign in</body></html>";

fn causes(error: &TestflingerError) -> (Class, &'static str) {
    (error.class(), error.cause())
}
