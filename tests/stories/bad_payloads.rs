//! Anything may be published on `rack.tick`.

use testkit::until;
use tests::{SOON, System, machines};

#[tokio::test]
async fn what_is_no_tick_is_a_dead_letter_and_a_good_tick_behind_it_runs() {
    let system = System::start(&["--racks", "1", "--machines", "2", "--speed", "300"]).await;
    system.add_rack("r1").await;
    let huge = vec![b'x'; 100_000];
    let long = "r".repeat(257);
    let bad: [(&[u8], &str); 12] = [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"\xff\xfe\x00\x01", "UTF-8"),
        (&huge, "at most 256"),
        (long.as_bytes(), "at most 256"),
        (b"{", "EOF while parsing an object"),
        (b"{}", "missing field `rack`"),
        (b"{\"rack\": 7}", "expected a string"),
        (b"{\"rack\": \"r 1\"}", "not allowed"),
        (b"[\"r1\"]", "not allowed"),
        (b"r1.r2", "not allowed"),
        ("räck".as_bytes(), "not allowed"),
    ];
    for (body, _) in &bad {
        system.tick(body).await;
    }
    // More than any tick may be is not even stored.
    system.tick(&vec![b'x'; 1_000_000]).await;
    system.tick(b"  r1\n").await;
    let _worker = system.worker("w1");

    let cycle = system.until_finished(1, SOON).await;
    system
        .assert_one_job_each(&[cycle], &machines("r1", 2))
        .await;
    until(SOON, "each bad body is a dead letter", async || {
        system.dead_letters().await.len() == bad.len()
    })
    .await;
    let letters = system.dead_letters().await;
    for (body, reason) in &bad {
        let found = letters.iter().map(|kept| &kept.letter).any(|letter| {
            letter.body.bytes().as_deref() == Some(*body)
                && letter.subject == "rack.tick"
                && letter.attempts == 1
                && letter.reason.contains(reason)
        });
        let start = String::from_utf8_lossy(&body[..body.len().min(40)]);
        assert!(found, "{start:?} {reason}: {letters:#?}");
    }
    // The person sees them, too.
    let listed = system.json(&["dlq", "list"]).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(bad.len()), "{listed}");
}
