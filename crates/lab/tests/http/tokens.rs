//! Tokens: issue, use, refresh, revoke.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lab::LabConfig;
use serde_json::{Value, json};

use crate::client::{Answer, Bench, PATIENCE, pause, slow};

async fn issued(bench: &Bench, client_id: &str) -> Value {
    let secret = bench.lab.config().client_secret(client_id);
    bench
        .send(
            bench
                .request("POST", "/v1/oauth2/token")
                .basic_auth(client_id, secret),
        )
        .await
        .json()
}

async fn with_token(bench: &Bench, token: &str) -> Answer {
    bench
        .send(bench.request("GET", "/v1/agents/data").bearer_auth(token))
        .await
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(
        &URL_SAFE_NO_PAD
            .decode(token.split('.').nth(1).unwrap())
            .unwrap(),
    )
    .unwrap()
}

#[tokio::test]
async fn a_client_gets_a_pair_that_carries_its_rights() {
    let bench = Bench::start(slow()).await;
    let pair = issued(&bench, "racktick").await;
    assert_eq!(
        (&pair["token_type"], &pair["expires_in"]),
        (&json!("Bearer"), &json!(600))
    );
    assert_eq!(pair["refresh_token"].as_str().unwrap().len(), 48);
    let token = pair["access_token"].as_str().unwrap();
    let claims = claims(token);
    assert_eq!(claims["sub"], "access_token");
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        600
    );
    assert_eq!(
        (
            &claims["permissions"]["client_id"],
            &claims["permissions"]["role"]
        ),
        (&json!("racktick"), &json!("contributor"))
    );
    assert_eq!(with_token(&bench, token).await.status, 200);
}

#[tokio::test]
async fn wrong_logins_are_told_apart() {
    let bench = Bench::start(slow()).await;
    let post = || bench.request("POST", "/v1/oauth2/token");
    for (request, text) in [
        (post(), "No authorization header specified"),
        (
            post().basic_auth("racktick", Some("wrong")),
            "Invalid client id or client key",
        ),
        (
            post().basic_auth("nobody", Some("wrong")),
            "Invalid client id or client key",
        ),
        (
            post().bearer_auth("x"),
            "Client id and key must be specified in authorization header",
        ),
    ] {
        let answer = bench.send(request).await;
        assert_eq!((answer.status, answer.text.as_str()), (401, text));
        assert_eq!(answer.content_type, "text/html; charset=utf-8");
    }
}

#[tokio::test]
async fn bad_tokens_are_refused_by_what_is_wrong() {
    let bench = Bench::start(slow()).await;
    let other = Bench::start(LabConfig { seed: 99, ..slow() }).await;
    let forged = other.token("racktick").await;
    let answer = with_token(&bench, &forged).await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (403, "Invalid Token signature")
    );
    for garbage in ["x", "a.b.c", "a.b"] {
        let answer = with_token(&bench, garbage).await;
        assert_eq!(
            (answer.status, answer.message().as_str()),
            (403, "Unable to decode token"),
            "{garbage}"
        );
    }
}

#[tokio::test]
async fn a_token_expires_and_is_refreshed() {
    let bench = Bench::start(LabConfig {
        token_seconds: 0,
        ..slow()
    })
    .await;
    let pair = issued(&bench, "racktick").await;
    let token = pair["access_token"].as_str().unwrap();
    // Until the leeway of 5 s is over it is still good.
    let began = std::time::Instant::now();
    let expired = loop {
        let answer = with_token(&bench, token).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(began.elapsed() < PATIENCE);
        pause().await;
    };
    assert_eq!(
        (expired.status, expired.message().as_str()),
        (401, "Token has expired")
    );
    let refreshed = bench
        .post(
            "/v1/oauth2/refresh",
            json!({"refresh_token": pair["refresh_token"]}),
        )
        .await
        .json();
    assert!(refreshed.get("refresh_token").is_none(), "{refreshed}");
    assert_eq!(
        with_token(&bench, refreshed["access_token"].as_str().unwrap())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_refresh_token_works_until_it_is_revoked() {
    let bench = Bench::start(slow()).await;
    let pair = issued(&bench, "racktick").await;
    let body = json!({"refresh_token": pair["refresh_token"]});
    assert_eq!(
        bench.post("/v1/oauth2/refresh", body.clone()).await.status,
        200
    );
    assert_eq!(
        bench.post("/v1/oauth2/revoke", body.clone()).await.status,
        403
    );
    let revoke = async |body: Value| {
        bench
            .as_client("testflinger-admin", "POST", "/v1/oauth2/revoke", Some(body))
            .await
    };
    assert_eq!(revoke(body.clone()).await.json(), json!({"status": "OK"}));
    let answer = bench.post("/v1/oauth2/refresh", body.clone()).await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (400, "Refresh token revoked.")
    );
    assert_eq!(revoke(body).await.status, 400);
    assert_eq!(revoke(json!({"refresh_token": "x"})).await.status, 400);
    let answer = bench
        .post("/v1/oauth2/refresh", json!({"refresh_token": "x"}))
        .await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (400, "Invalid refresh token.")
    );
    assert_eq!(
        bench.post("/v1/oauth2/refresh", json!({})).await.status,
        422
    );
}
