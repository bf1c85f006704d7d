//! Answers that are as they should be.

use crate::*;

#[tokio::test]
async fn a_good_answer_is_read_and_its_connection_used_again() {
    let wire = Wire::answering(&json(r#"{"a": 1}"#)).await;
    let http = http(&wire);
    for _ in 0..3 {
        assert_eq!(object(&http).await.unwrap()["a"], 1);
    }
    assert_eq!(
        wire.requests()
            .iter()
            .map(|request| request.connection)
            .collect::<Vec<_>>(),
        [0, 0, 0]
    );
    assert!(
        wire.requests()[0]
            .header("user-agent")
            .unwrap()
            .starts_with("racktick/")
    );
    assert_eq!(wire.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_long_answer_is_read_without_keeping_its_long_strings() {
    let wire = Wire::answering(&json(&long(r#", "end": 2}"#))).await;
    let read = object(&http(&wire)).await.unwrap();
    assert_eq!(read["end"], 2);
    assert!(read["log"].as_str().unwrap().len() < 70 << 10);
}

#[tokio::test]
async fn an_answer_without_a_length_is_read_to_its_end() {
    let steps = |_: &Request| {
        vec![
            send("HTTP/1.1 200 OK\r\n\r\n"),
            send(long(r#", "end": 2}"#)),
            Step::Close,
        ]
    };
    let wire = Wire::start(steps).await;
    assert_eq!(object(&http(&wire)).await.unwrap()["end"], 2);
}

#[tokio::test]
async fn nothing_is_nothing() {
    for (raw, empty) in [
        (
            "HTTP/1.1 204 No Content\r\ncontent-type: application/json\r\n\r\n",
            true,
        ),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", true),
        (
            "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n{}",
            false,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", false),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            false,
        ),
    ] {
        let wire = Wire::answering(raw).await;
        let checked = get(&http(&wire)).await.unwrap().nothing().await;
        assert_eq!(checked.is_ok(), empty, "{raw}");
    }
}

#[tokio::test]
async fn the_servers_clock_is_compared_with_ours() {
    let ahead = jiff::Timestamp::now() + Duration::from_secs(3600);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&ahead)
        .unwrap();
    let wire = Wire::answering(&answer("200 OK", &format!("date: {date}\r\n"), "{}")).await;
    let offset = get(&http(&wire)).await.unwrap().clock_offset().unwrap();
    assert!((offset.as_secs() - 3600).abs() <= 2, "{offset:?}");
    let wire = Wire::answering(&answer("200 OK", "", "{}")).await;
    assert_eq!(get(&http(&wire)).await.unwrap().clock_offset(), None);
}
