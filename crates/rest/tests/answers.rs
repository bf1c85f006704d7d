#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Every way in which a server can answer badly, and what the caller is told.

mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use rest::{Answer, Class, Deadline, Error, Http, Limit, Limits, List, Object, Root, Settings};
use serde_json::Value;
use wire::{Step, Wire, answer, json};

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
    http.send(http.get(&["a"]), Deadline::after(http.limits().total))
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
    let steps = |_: &wire::Request| {
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
async fn a_refused_connection_is_known_not_to_have_sent_anything() {
    let wire = Wire::answering("").await;
    let url = wire.url();
    drop(wire);
    // The port is free again once the server's task has ended.
    let error = tokio::time::timeout(LONG, async {
        loop {
            match object(&http_with(&url, limits())).await.unwrap_err() {
                error @ Error::Connect { .. } => return error,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await
    .unwrap();
    assert!(error.never_sent());
    assert_eq!(
        (error.class(), error.cause()),
        (Class::Transient, "connect")
    );
}

#[tokio::test]
async fn an_unknown_host_is_known_not_to_have_been_asked() {
    drop(Wire::answering("").await);
    let error = object(&http_with("http://no-such-host.invalid/", limits()))
        .await
        .unwrap_err();
    assert!(error.never_sent(), "{error:?}");
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
}

#[tokio::test]
async fn the_limit_that_struck_is_named() {
    let limit = |error: Error| match error {
        Error::Timeout { limit, .. } => limit,
        other => panic!("{other:?}"),
    };
    let mute = || vec![Step::Hang];
    let half = || {
        vec![
            send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"),
            Step::Hang,
        ]
    };
    let half_of_much = || {
        vec![
            send("HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n"),
            send(long(", ")),
            Step::Hang,
        ]
    };
    for (want, steps, limits) in [
        (
            Limit::FirstByte,
            mute as fn() -> Vec<Step>,
            Limits {
                first_byte: SHORT,
                ..limits()
            },
        ),
        (
            Limit::Total,
            mute,
            Limits {
                total: SHORT,
                ..limits()
            },
        ),
        (
            Limit::Silence,
            half,
            Limits {
                silence: SHORT,
                ..limits()
            },
        ),
        (
            Limit::Total,
            half,
            Limits {
                total: SHORT,
                ..limits()
            },
        ),
        (
            Limit::Silence,
            half_of_much,
            Limits {
                silence: SHORT,
                ..limits()
            },
        ),
        (
            Limit::Total,
            half_of_much,
            Limits {
                total: SHORT,
                ..limits()
            },
        ),
    ] {
        let error = error_of_steps(steps, limits).await;
        assert_eq!(
            (error.class(), error.cause(), error.never_sent()),
            (Class::Transient, "timeout", false)
        );
        assert_eq!(limit(error), want);
    }
}

#[tokio::test]
async fn a_body_that_trickles_ends_with_the_total_limit() {
    let drip = || {
        vec![
            send("HTTP/1.1 200 OK\r\n\r\n["),
            Step::Forever(b" ".to_vec()),
        ]
    };
    let wire = Wire::start(move |_| drip()).await;
    let http = http_with(
        &wire.url(),
        Limits {
            total: SHORT,
            ..limits()
        },
    );
    let error = get(&http)
        .await
        .unwrap()
        .json::<List<u8>>(u64::MAX)
        .await
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            Error::Timeout {
                limit: Limit::Total,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_unknown() {
    let reset = || vec![Step::Reset];
    let closed = || vec![Step::Close];
    let cut = || {
        vec![
            send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"),
            Step::Close,
        ]
    };
    let cut_late = || {
        vec![
            send("HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n"),
            send(long(", ")),
            Step::Close,
        ]
    };
    let cut_chunk = || {
        vec![
            send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{"),
            Step::Close,
        ]
    };
    let no_length = || vec![send("HTTP/1.1 200 OK\r\n\r\n{\"a\": "), Step::Close];
    let no_length_late = || {
        vec![
            send("HTTP/1.1 200 OK\r\n\r\n"),
            send(long(", ")),
            Step::Close,
        ]
    };
    for steps in [
        reset,
        closed,
        cut,
        cut_late,
        cut_chunk,
        no_length,
        no_length_late,
    ] as [fn() -> Vec<Step>; 7]
    {
        let error = error_of_steps(steps, limits()).await;
        assert!(matches!(error, Error::Cut { .. }), "{error:?}");
        assert_eq!(
            (error.class(), error.cause(), error.never_sent()),
            (Class::Transient, "cut", false)
        );
    }
}

#[tokio::test]
async fn an_endless_body_ends_at_the_cap() {
    let blanks = || {
        vec![
            send("HTTP/1.1 200 OK\r\n\r\n{"),
            Step::Forever(vec![b' '; 4096]),
        ]
    };
    let list = || {
        vec![
            send("HTTP/1.1 200 OK\r\n\r\n{\"a\": ["),
            Step::Forever(b"12345678,".repeat(500)),
        ]
    };
    let string = || {
        vec![
            send("HTTP/1.1 200 OK\r\n\r\n{\"a\": \""),
            Step::Forever(vec![b'x'; 4096]),
        ]
    };
    let announced = || {
        vec![
            send("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"),
            Step::Hang,
        ]
    };
    for steps in [blanks, list, string, announced] as [fn() -> Vec<Step>; 4] {
        let error = error_of_steps(steps, limits()).await;
        assert!(
            matches!(error, Error::TooLarge { cap, .. } if cap == 1 << 20),
            "{error:?}"
        );
        assert_eq!(
            (error.class(), error.cause()),
            (Class::Malformed, "too_large")
        );
    }
}

#[tokio::test]
async fn what_is_not_the_expected_json_is_malformed() {
    for (body, want) in [
        ("null", "null"),
        ("[]", "sequence"),
        ("\"text\"", "string"),
        ("{} {}", "trailing"),
        ("{}]", "trailing"),
        ("{'a': 1}", "key must be a string"),
        ("OK", "expected value"),
        ("", "empty"),
    ] {
        let error = error_of(&json(body)).await;
        assert!(
            matches!(&error, Error::Malformed { why, .. } if why.contains(want)),
            "{body}: {error:?}"
        );
        assert_eq!(
            (error.class(), error.cause()),
            (Class::Malformed, "malformed")
        );
    }
    for (after, want) in [
        ("]", "expected"),
        ("} garbage", "trailing"),
        (r#", "b": [[["#, "too deeply"),
    ] {
        let after = after.replace("[[[", &"[".repeat(1000));
        let error = error_of(&json(&long(&after))).await;
        assert!(
            matches!(&error, Error::Malformed { why, .. } if why.contains(want)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_web_page_is_told_from_data_whatever_its_status() {
    let page = "  <html><body>Please log in</body></html>";
    let error = error_of(&answer(
        "200 OK",
        "content-type: application/json\r\n",
        page,
    ))
    .await;
    assert!(matches!(error, Error::Html { .. }), "{error:?}");
    for (status, class) in [
        ("403 Forbidden", Class::Malformed),
        ("502 Bad Gateway", Class::Transient),
    ] {
        let error = refused(status, "", page).await;
        assert_eq!((error.class(), error.cause()), (class, "html"));
        assert!(error.to_string().contains("web page"), "{error}");
    }
    let wire = Wire::answering(&answer("200 OK", "", page)).await;
    let error = get(&http(&wire)).await.unwrap().text().await.unwrap_err();
    assert!(matches!(error, Error::Html { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let wire = Wire::answering(&answer(
        "302 Found",
        "location: https://else.where/\r\n",
        "",
    ))
    .await;
    let http = http(&wire);
    for request in [http.get(&["a"]), http.post(&["a"])] {
        let error = http
            .send(request, Deadline::after(LONG))
            .await
            .err()
            .unwrap();
        assert_eq!(
            (error.class(), error.cause()),
            (Class::Malformed, "redirect")
        );
        assert!(error.to_string().contains("https://else.where/"), "{error}");
    }
    assert_eq!(wire.requests().len(), 2);
}

#[tokio::test]
async fn each_status_has_its_class_and_its_wait() {
    for (status, headers, class, cause) in [
        ("400 Bad Request", "", Class::Rejected, "status"),
        ("401 Unauthorized", "", Class::Auth, "auth"),
        ("403 Forbidden", "", Class::Auth, "forbidden"),
        ("404 Not Found", "", Class::Rejected, "status"),
        ("409 Conflict", "", Class::Rejected, "status"),
        (
            "409 Conflict",
            "retry-after: 5\r\n",
            Class::Transient,
            "status",
        ),
        ("422 Unprocessable", "", Class::Rejected, "status"),
        (
            "429 Too Many",
            "retry-after: 5\r\n",
            Class::Transient,
            "throttled",
        ),
        ("500 Internal", "", Class::Transient, "status"),
        (
            "503 Unavailable",
            "retry-after: 5\r\n",
            Class::Transient,
            "status",
        ),
        ("204 No Content", "", Class::Malformed, "status"),
    ] {
        let error = refused(status, headers, "").await;
        assert_eq!((error.class(), error.cause()), (class, cause), "{status}");
        assert_eq!(
            error.retry_after(),
            (!headers.is_empty()).then_some(Duration::from_secs(5))
        );
        assert!(!error.never_sent());
    }
}

#[tokio::test]
async fn a_refusal_is_quoted_briefly_and_without_secrets() {
    let error = refused("400 Bad", "", "first\u{1b}[31m line\nsays hunter2\u{7}").await;
    assert_eq!(error.refusal().unwrap().excerpt(), "first line says ***");
    assert!(
        !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
    let error = refused("400 Bad", "", r#"{"tags": ["no"]}"#).await;
    assert!(error.refusal().unwrap().json().unwrap()["tags"].is_array());
}

#[tokio::test]
async fn an_unread_body_is_never_seen() {
    let wire = Wire::answering(&answer("401 Unauthorized", "", "signature is hunter3")).await;
    let error = get(&http(&wire)).await.unwrap().refused_unread();
    assert!(!format!("{error} {error:?}").contains("hunter3"));
    assert_eq!((error.class(), error.cause()), (Class::Auth, "auth"));
}

#[tokio::test]
async fn the_body_of_a_refusal_is_read_under_limits_and_its_status_stays_known() {
    let endless = || {
        vec![
            send("HTTP/1.1 500 Oh\r\n\r\nwhy: "),
            Step::Forever(vec![b'x'; 4096]),
        ]
    };
    let cut = || {
        vec![
            send("HTTP/1.1 500 Oh\r\ncontent-length: 99\r\n\r\nwhy"),
            Step::Close,
        ]
    };
    let silent = || {
        vec![
            send("HTTP/1.1 500 Oh\r\ncontent-length: 99\r\n\r\nwhy"),
            Step::Hang,
        ]
    };
    for steps in [endless, cut, silent] as [fn() -> Vec<Step>; 3] {
        let wire = Wire::start(move |_| steps()).await;
        let http = http_with(
            &wire.url(),
            Limits {
                silence: Duration::from_secs(1),
                ..limits()
            },
        );
        let error = get(&http).await.unwrap().refused().await;
        let refusal = error.refusal().unwrap();
        assert_eq!((refusal.status, refusal.complete), (500, false));
        assert!(refusal.excerpt().starts_with("why"), "{refusal}");
        assert!(refusal.json().is_none());
    }
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
