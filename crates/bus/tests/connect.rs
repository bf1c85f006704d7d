#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Connecting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bus::service::Service;
use bus::{Bus, BusError, Connect, Credentials, MINIMUM_SERVER, Outgoing};
use futures_util::{FutureExt, StreamExt};
use model::subject::Subject;
use testkit::{Broker, until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::Instant;

const USERS: &str = r#"
authorization { users: [
  { user: "worker", password: "correct" }
  { nkey: "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4" }
] }"#;

/// The seed of the nkey above, from the documentation of nkeys.
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

#[tokio::test]
async fn the_servers_version_is_known() {
    let broker = Broker::start().await;
    assert!(broker.connect().await.server_version() >= MINIMUM_SERVER);
}

#[tokio::test]
async fn who_asks_who_is_there_has_the_answer_in_an_inbox_and_nowhere_else() {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    let service = Service {
        name: "racktick-test",
        version: "1.2.3",
        description: "Answers",
        metadata: BTreeMap::new(),
    };
    let _announced = bus.announce(service, Vec::new).await.unwrap();
    until(Duration::from_secs(20), "it listens", async || {
        broker.is_heard("$SRV.PING").await
    })
    .await;
    let others = async_nats::connect(broker.url()).await.unwrap();
    for elsewhere in ["rack.tick", "event.x", "inbox.x", "x._INBOX.x"] {
        let mut there = others.subscribe(elsewhere).await.unwrap();
        let mut inbox = others.subscribe("_INBOX.x.y").await.unwrap();
        for reply in [elsewhere, "_INBOX.x.y"] {
            let asked = others.publish_with_reply("$SRV.PING", reply, "".into());
            asked.await.unwrap();
        }
        // Answers come in the order of the questions, and both on one connection.
        let answer = inbox.next().await.unwrap();
        assert!(
            answer
                .payload
                .windows(13)
                .any(|part| part == b"racktick-test")
        );
        assert!(there.next().now_or_never().is_none(), "{elsewhere}");
    }
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named() {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let start = Instant::now();
    let error = Bus::connect(&Connect::to(
        format!("nats://me:secret@127.0.0.1:{port}"),
        "test",
    ))
    .await
    .unwrap_err();
    assert!(matches!(error, BusError::Unreachable { .. }));
    let text = error.to_string();
    assert!(
        text.contains(&format!("nats://***@127.0.0.1:{port}")) && !text.contains("secret"),
        "{text}"
    );
    assert!(start.elapsed() < Duration::from_secs(5));
    let error = Bus::connect(&Connect::to("nats://bad host", "test"))
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the NATS address `nats://bad host` cannot be used");
}

#[tokio::test]
async fn a_broker_that_is_only_just_starting_is_waited_for() {
    let mut broker = Broker::start().await;
    broker.kill_9().await;
    let connect = Connect {
        wait: Duration::from_secs(20),
        ..Connect::to(broker.url(), "test")
    };
    let connecting = tokio::spawn(async move { Bus::connect(&connect).await });
    broker.restart().await;
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let info = r#"{"server_id":"X","version":"2.14.5","proto":1,"headers":true,"max_payload":1048576}"#;
        stream
            .write_all(format!("INFO {info}\r\n").as_bytes())
            .await
            .unwrap();
        let mut said = [0; 4096];
        while stream.read(&mut said).await.unwrap() > 0 {
            stream.write_all(b"PONG\r\n").await.unwrap();
        }
    });
    let error = Bus::connect(&Connect::to(url, "test")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the NATS server has version 2.14.5, and racktick needs 2.14.6 or later: \
         earlier ones lose or repeat scheduled messages"
    );
}

#[tokio::test]
async fn credentials_are_used_and_wrong_ones_refused() {
    let broker = Broker::start_with(USERS).await;
    let with = |credentials| Connect {
        credentials,
        ..Connect::to(broker.url(), "test")
    };
    let password = |password: &str| Credentials::Password {
        user: "worker".into(),
        password: password.into(),
    };
    Bus::connect(&with(Some(password("correct"))))
        .await
        .unwrap();
    Bus::connect(&with(Some(Credentials::Nkey(SEED.into()))))
        .await
        .unwrap();
    for wrong in [
        None,
        Some(password("wrong")),
        Some(Credentials::Token("x".into())),
    ] {
        let error = Bus::connect(&with(wrong)).await.unwrap_err();
        assert!(matches!(error, BusError::Unauthorized { .. }), "{error}");
    }
    let missing = Credentials::File("/nowhere/me.creds".into());
    let error = Bus::connect(&with(Some(missing)))
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the NATS credentials file /nowhere/me.creds cannot be used"
    );
}

/// A server that greets, answers pings, and nothing else: as a node that is cut off from the others of its cluster.
async fn deaf_server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let clients = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&clients);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let info = r#"{"server_id":"X","version":"2.14.6","proto":1,"headers":true,"max_payload":1048576}"#;
                let mut answer = format!("INFO {info}\r\n");
                let mut lines = BufReader::new(read).lines();
                loop {
                    if write.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                    answer.clear();
                    match lines.next_line().await {
                        Ok(Some(line)) if line == "PING" => answer.push_str("PONG\r\n"),
                        Ok(Some(_)) => {}
                        _ => return,
                    }
                }
            });
        }
    });
    (url, clients)
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_left_for_another() {
    let broker = Broker::start().await;
    broker.bus().await;
    let (deaf, clients) = deaf_server().await;
    let connect = Connect::to(format!("{deaf},{}", broker.url()), "test");
    // Which of the two comes first is left to chance.
    let bus = loop {
        let bus = Bus::connect(&connect).await.unwrap();
        if clients.load(Ordering::Relaxed) > 0 {
            break bus;
        }
    };
    let tick = Outgoing::new(Subject::Tick, "r7").with_id("one");
    until(Duration::from_secs(60), "it is published", async || {
        bus.publish(tick.clone()).await.is_ok()
    })
    .await;
}
