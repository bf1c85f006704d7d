//! Connections that fail, and answers that do not come or do not end.

use crate::*;

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
