#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! `setup --credentials`, and key files as they are given to the program.

mod program;

use program::Place;

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
