#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! `setup --credentials`, and key files as they are given to the program.

mod program;

use bus::access::Role;
use bus::topology::{Retention, Topology, setup};
use program::Place;
use testkit::Broker;

#[test]
fn keys_are_made_once_and_replaced_only_by_name() {
    let place = Place::new();
    let made = place.json(&["setup", "--credentials", "keys"]);
    assert_eq!(made["changes"].as_array().unwrap().len(), 8, "{made}");
    assert_eq!(made["authorization"], "keys/server/authorization.conf");
    assert_eq!(made["without_key"], true);
    let again = place.json(&["setup", "--credentials", "keys"]);
    assert_eq!(again["changes"].as_array().unwrap().len(), 0, "{again}");
    let rotated = place.run(&["setup", "--credentials", "keys", "--rotate", "worker"]);
    let rotated = rotated.with_code(0).stdout;
    assert!(rotated.contains("keys/worker/worker.nk"), "{rotated}");
    assert!(!rotated.contains("SU"), "{rotated}");

    let usage = place.run(&["setup", "--rotate", "worker"]).with_code(2);
    assert!(usage.stderr.contains("--credentials"), "{usage:?}");
    let usage = place.run(&["setup", "--credentials", "keys", "--rotate", "king"]);
    let usage = usage.with_code(2);
    assert!(usage.stderr.contains("`king` is not a role"), "{usage:?}");

    std::fs::write(place.path().join("keys/worker/worker.nk"), "hello").unwrap();
    let wrong = place.run(&["setup", "--credentials", "keys"]).with_code(78);
    assert!(wrong.stderr.contains("keys/worker/worker.nk"), "{wrong:?}");
}

#[test]
fn a_key_file_or_prefix_that_cannot_be_used_is_named() {
    let place = Place::new()
        .file("no.nk", "hello")
        .env("NATS_NKEY", "no.nk");
    let ended = place.run(&["status"]).with_code(78);
    let wanted = "the file that NATS_NKEY names, no.nk cannot be read: no line is a user's seed";
    assert!(ended.stderr.contains(wanted), "{ended:?}");
    let place = Place::new().env("NATS_INBOX_PREFIX", "_INBOX.>");
    let ended = place.run(&["status"]).with_code(78);
    assert!(
        ended.stderr.contains("nats.inbox_prefix = _INBOX.>"),
        "{ended:?}"
    );
}

/// It is asked again and again: the broker's log would fill with a worker that reaches for what it may not see.
#[tokio::test(flavor = "multi_thread")]
async fn a_workers_health_check_asks_for_nothing_that_its_key_may_not_see() {
    let broker = Broker::start_with_roles().await;
    let admin = broker.bus_as(Role::Admin).await;
    let topology = Topology::declared(Retention::default());
    setup(&admin, &topology).await.unwrap();
    let place = Place::new()
        .env("NATS_URL", broker.url())
        .env("NATS_NKEY", broker.key_file(Role::Worker).display());
    let violations = || {
        let log = std::fs::read_to_string(broker.folder().join("nats-server.log")).unwrap();
        log.lines()
            .filter(|line| line.contains("Violation"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let brief = place.run(&["doctor", "--broker-only"]).with_code(0);
    for wanted in ["the role worker's", "as declared"] {
        assert!(brief.stdout.contains(wanted), "{brief:?}");
    }
    assert!(!brief.stdout.contains("dead letters"), "{brief:?}");
    assert_eq!(violations(), [""; 0]);
    // The whole doctor looks at more, and the broker notes it.
    let whole = place.run(&["doctor"]);
    assert!(whole.stdout.contains("dead letters"), "{whole:?}");
    assert!(!violations().is_empty());
}
