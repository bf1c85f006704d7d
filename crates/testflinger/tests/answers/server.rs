//! The server itself, and who may ask it.

use crate::*;

#[tokio::test]
async fn a_server_is_known_by_its_greeting_and_tells_its_clock() {
    let headers = "date: Sat, 21 Nov 2020 08:00:00 GMT\r\n";
    let (testflinger, wire) =
        answering(&answer("200 OK", headers, "Testflinger Server v1.5.0\n")).await;
    let version = testflinger.version().await.unwrap();
    assert_eq!(version.version, "Testflinger Server v1.5.0");
    assert!(version.clock_offset.unwrap().is_negative());
    assert_eq!(wire.requests()[0].line, "GET /v1");
    for (other, cause) in [("It works!", "malformed"), (PAGE, "html")] {
        let error = answering(&text("200 OK", other))
            .await
            .0
            .version()
            .await
            .unwrap_err();
        assert_eq!(error.cause(), cause);
    }
}

#[tokio::test]
async fn a_refusal_by_rights_says_what_the_server_says() {
    let body = r#"{"detail": {}, "message": "Authentication is required for specified endpoint"}"#;
    let error = answering(&answer("401 UNAUTHORIZED", "", body))
        .await
        .0
        .agents()
        .await
        .unwrap_err();
    assert_eq!(causes(&error), (Class::Auth, "auth"));
    assert!(
        error
            .to_string()
            .ends_with("Authentication is required for specified endpoint"),
        "{error}"
    );

    let body = r#"{"detail": {}, "message": "Specified action requires role: admin"}"#;
    let error = answering(&answer("403 FORBIDDEN", "", body))
        .await
        .0
        .agents()
        .await
        .unwrap_err();
    assert_eq!(causes(&error), (Class::Auth, "forbidden"));
    assert!(
        error.to_string().contains("requires role: admin"),
        "{error}"
    );

    let error = answering(&text("403 Forbidden", PAGE))
        .await
        .0
        .agents()
        .await
        .unwrap_err();
    assert_eq!(causes(&error), (Class::Malformed, "html"));
}

#[tokio::test]
async fn an_anonymous_client_sends_no_authorization_and_has_no_queues() {
    let (testflinger, wire) = answering(&json("[]")).await;
    testflinger.agents().await.unwrap();
    testflinger.queue_jobs("q").await.unwrap();
    assert!(testflinger.allowed_queues().await.unwrap().is_empty());
    assert_eq!(wire.requests().len(), 2);
    assert!(
        wire.requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    assert_eq!(
        format!("{testflinger:?}"),
        format!("Testflinger({}/, anonymous)", wire.url())
    );
}
