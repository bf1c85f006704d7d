//! Statuses that refuse, and what is told of them.

use crate::*;

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
