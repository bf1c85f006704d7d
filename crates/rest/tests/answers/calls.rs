//! What whoever watches is told of calls.

use std::sync::{Arc, Mutex};

use rest::Observer;

use crate::*;

/// What was told of each call.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<(&'static str, &'static str)>>);

impl Observer for Seen {
    fn called(&self, endpoint: &'static str, class: &'static str, _: Duration) {
        self.0.lock().unwrap().push((endpoint, class));
    }
}

#[tokio::test]
async fn every_call_is_told_once_with_how_it_ended() {
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(2 << 20));
    for (answer, class) in [
        (json("{}"), "2xx"),
        (json("{"), "cut"),
        (json("[]"), "malformed"),
        (json(&long), "too_large"),
        (answer("404 Not Found", "", "{}"), "4xx"),
        (answer("302 Found", "location: /b\r\n", ""), "3xx"),
        ("nonsense".to_owned(), "cut"),
    ] {
        let wire = Wire::answering(&answer).await;
        let seen = Arc::new(Seen::default());
        let http = http(&wire).observed(seen.clone());
        let _ = match get(&http).await {
            Ok(answer) if answer.status() == 200 => answer.json::<Anything>(1 << 20).await.err(),
            Ok(answer) => Some(answer.refused().await),
            Err(error) => Some(error),
        };
        assert_eq!(*seen.0.lock().unwrap(), [("a", class)], "{answer:.60}");
    }
}
