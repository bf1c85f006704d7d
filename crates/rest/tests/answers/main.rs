#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Every way in which a server can answer badly, and what the caller is told.

mod calls;
mod connection;
mod content;
mod reading;
mod refusals;

use std::collections::BTreeMap;
use std::time::Duration;

use rest::{Answer, Class, Deadline, Error, Http, Limit, Limits, List, Object, Root, Settings};
use serde_json::Value;
use testkit::wire::{Request, Step, Wire, answer, json};

type Anything = Object<BTreeMap<String, Value>>;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

fn limits() -> Limits {
    Limits {
        first_byte: LONG,
        silence: LONG,
        total: LONG,
        body_bytes: 1 << 20,
        ..Limits::default()
    }
}

fn http_with(url: &str, limits: Limits) -> Http {
    let root = Root::parse(url).unwrap();
    Http::new(Settings {
        root,
        limits,
        ca: None,
        secrets: vec!["hunter2".into()],
    })
    .unwrap()
}

fn http(wire: &Wire) -> Http {
    http_with(&wire.url(), limits())
}

async fn get(http: &Http) -> Result<Answer, Error> {
    http.send("a", http.get(&["a"]), Deadline::after(http.limits().total))
        .await
}

async fn object(http: &Http) -> Result<BTreeMap<String, Value>, Error> {
    let cap = http.limits().body_bytes;
    get(http)
        .await?
        .json::<Anything>(cap)
        .await
        .map(|Object(map)| map)
}

/// The error of a server that always gives this answer.
async fn error_of(answer: &str) -> Error {
    let wire = Wire::answering(answer).await;
    object(&http(&wire)).await.unwrap_err()
}

/// The error of a server that takes these steps, closing the connection afterwards.
async fn error_of_steps(steps: fn() -> Vec<Step>, limits: Limits) -> Error {
    let wire = Wire::start(move |_| steps()).await;
    object(&http_with(&wire.url(), limits)).await.unwrap_err()
}

/// The error of a status that the caller cannot use.
async fn refused(status: &str, headers: &str, body: &str) -> Error {
    let wire = Wire::answering(&answer(status, headers, body)).await;
    get(&http(&wire)).await.unwrap().refused().await
}

fn send(text: impl Into<Vec<u8>>) -> Step {
    Step::Send(text.into())
}

/// A long string in a document that goes on as given.
fn long(after: &str) -> String {
    format!(r#"{{"log": "{}"{after}"#, "x".repeat(600 << 10))
}
