//! OAuth as MAAS checks it.

use serde_json::json;

use crate::client::{Answer, Bench, nonce, now, plaintext, slow};

const WHOAMI: &str = "/MAAS/api/2.0/users/?op=whoami";

async fn with_header(bench: &Bench, header: &str) -> Answer {
    bench
        .send(bench.request("GET", WHOAMI).header("authorization", header))
        .await
}

fn replaced(header: &str, name: &str, value: &str) -> String {
    header
        .split(", ")
        .map(|part| match part.split_once('=') {
            Some((key, _)) if key.ends_with(name) => format!("{key}=\"{value}\""),
            _ => part.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn without(header: &str, name: &str) -> String {
    let kept: Vec<_> = header
        .split(", ")
        .filter(|part| !part.starts_with(name))
        .collect();
    kept.join(", ")
}

fn good(bench: &Bench) -> String {
    plaintext(&bench.lab.api_key(), now(), &nonce())
}

#[tokio::test]
async fn the_key_belongs_to_the_labs_user() {
    let bench = Bench::start(slow()).await;
    let answer = with_header(&bench, &good(&bench)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.content_type, "application/json; charset=utf-8");
    assert_eq!(
        (&answer.json()["username"], &answer.json()["is_superuser"]),
        (&json!("lab"), &json!(false))
    );
    assert!(answer.headers.contains_key("x-maas-api-hash"));
}

#[tokio::test]
async fn the_version_needs_no_key() {
    let bench = Bench::start(slow()).await;
    let answer = bench.get("/MAAS/api/2.0/version/").await;
    assert_eq!(answer.json()["version"], "3.5.1");
    assert_eq!(answer.json()["capabilities"].as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn plaintext_is_taken_escaped_raw_and_unquoted() {
    let bench = Bench::start(slow()).await;
    assert_eq!(
        with_header(&bench, &good(&bench).replace("%26", "&"))
            .await
            .status,
        200
    );
    assert_eq!(
        with_header(&bench, &good(&bench).replace('"', ""))
            .await
            .status,
        200
    );
    // The version is optional, and a realm is dropped.
    let header = good(&bench).replace("OAuth oauth_version=\"1.0\",", "OAuth realm=\"x\",");
    assert_eq!(with_header(&bench, &header).await.status, 200);
}

#[tokio::test]
async fn every_parameter_is_required() {
    let bench = Bench::start(slow()).await;
    for name in [
        "consumer_key",
        "token",
        "signature",
        "signature_method",
        "timestamp",
        "nonce",
    ] {
        let header = without(&good(&bench), &format!("oauth_{name}="));
        let answer = with_header(&bench, &header).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (401, "Forbidden"),
            "{name}"
        );
    }
    let answer = bench.get(WHOAMI).await;
    assert_eq!((answer.status, answer.text.as_str()), (401, "Forbidden"));
}

#[tokio::test]
async fn each_wrong_part_is_named() {
    let bench = Bench::start(slow()).await;
    let answer = with_header(
        &bench,
        &replaced(&good(&bench), "oauth_consumer_key", "nobody"),
    )
    .await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (401, "Authorization Error: Invalid API key.")
    );
    assert_eq!(answer.headers["www-authenticate"], "OAuth realm=\"OAuth\"");
    let answer = with_header(&bench, &replaced(&good(&bench), "oauth_token", "nothing")).await;
    assert_eq!(
        answer.text,
        "Authorization Error: 'Invalid access token: nothing'"
    );
    let answer = with_header(
        &bench,
        &replaced(&good(&bench), "oauth_signature_method", "HMAC-SHA256"),
    )
    .await;
    assert_eq!(answer.status, 401);
    assert!(answer.text.contains(
        "Signature method HMAC-SHA256 not supported try one of the following: PLAINTEXT, HMAC-SHA1"
    ));
    let answer = with_header(&bench, &replaced(&good(&bench), "oauth_timestamp", "soon")).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("oauth_timestamp"), "{answer:?}");
}

#[tokio::test]
async fn a_wrong_signature_shows_the_real_secret_and_burns_the_nonce() {
    let bench = Bench::start(slow()).await;
    let nonce = nonce();
    let header = plaintext(&bench.lab.api_key(), now(), &nonce);
    let answer = with_header(&bench, &replaced(&header, "oauth_signature", "%26wrong")).await;
    let key = bench.lab.api_key();
    let secret = key.split(':').next_back().unwrap();
    assert_eq!(answer.status, 401);
    let expected = format!(
        "Authorization Error: 'Invalid signature. Expected signature base string: &{secret}'"
    );
    assert_eq!(answer.text, expected);
    let answer = with_header(&bench, &header).await;
    assert_eq!(
        (answer.status, answer.text),
        (
            401,
            format!("Authorization Error: 'Nonce already used: {nonce}'")
        )
    );
}

#[tokio::test]
async fn a_nonce_is_good_once() {
    let bench = Bench::start(slow()).await;
    let header = good(&bench);
    assert_eq!(with_header(&bench, &header).await.status, 200);
    let answer = with_header(&bench, &header).await;
    assert_eq!(answer.status, 401);
    assert!(answer.text.contains("Nonce already used"), "{answer:?}");
}

#[tokio::test]
async fn old_timestamps_are_refused_before_the_nonce_counts_and_future_ones_pass() {
    let bench = Bench::start(slow()).await;
    let (key, nonce) = (bench.lab.api_key(), nonce());
    let old = now() - 305;
    let answer = with_header(&bench, &plaintext(&key, old, &nonce)).await;
    assert_eq!(answer.status, 401);
    assert!(answer.text.starts_with(&format!(
        "Authorization Error: 'Expired timestamp: given {old} and now "
    )));
    assert!(
        answer
            .text
            .ends_with("has a greater difference than threshold 300'"),
        "{answer:?}"
    );
    assert_eq!(
        with_header(&bench, &plaintext(&key, now() - 290, &nonce))
            .await
            .status,
        200
    );
    let later = plaintext(&key, now() + 3600, &crate::client::nonce());
    assert_eq!(with_header(&bench, &later).await.status, 200);
}

#[tokio::test]
async fn hmac_sha1_is_checked_over_method_url_and_sorted_parameters() {
    let bench = Bench::start(slow()).await;
    let key = bench.lab.api_key();
    let parts: Vec<_> = key.split(':').collect();
    let (nonce, stamp) = (nonce(), now());
    let header = format!(
        "OAuth oauth_nonce=\"{nonce}\", oauth_timestamp=\"{stamp}\", oauth_version=\"1.0\", \
         oauth_signature_method=\"HMAC-SHA1\", oauth_consumer_key=\"{}\", oauth_token=\"{}\", oauth_signature=\"x\"",
        parts[0], parts[1]
    );
    let path = "/MAAS/api/2.0/machines/?tags=r1%2Cipmi&hostname=r1-m01";
    let answer = bench
        .send(bench.request("GET", path).header("authorization", &header))
        .await;
    assert_eq!(answer.status, 401);
    let base = answer
        .text
        .rsplit(' ')
        .next()
        .unwrap()
        .trim_end_matches('\'');
    let url = format!("{}/MAAS/api/2.0/machines/", bench.lab.url());
    let escaped_url = url.replace(':', "%3A").replace('/', "%2F");
    let expected = format!(
        "GET&{escaped_url}&hostname%3Dr1-m01%26oauth_consumer_key%3D{}%26oauth_nonce%3D{nonce}\
         %26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D{stamp}%26oauth_token%3D{}\
         %26oauth_version%3D1.0%26tags%3Dr1%252Cipmi",
        parts[0], parts[1]
    );
    assert_eq!(base, expected);
    // Signed over the same string with a nonce of its own.
    let next = crate::client::nonce();
    let signature = hmac_sha1(&format!("&{}", parts[2]), &expected.replace(&nonce, &next));
    let header = replaced(&header, "oauth_nonce", &next);
    let header = header.replace(
        &format!("oauth_nonce=\"{nonce}\""),
        &format!("oauth_nonce=\"{next}\""),
    );
    let header = replaced(&header, "oauth_signature", &signature);
    let answer = bench
        .send(bench.request("GET", path).header("authorization", header))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json().as_array().unwrap().len(), 1);
}

fn hmac_sha1(key: &str, message: &str) -> String {
    use base64::Engine as _;
    use hmac::Mac as _;
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    signature
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
}

#[tokio::test]
async fn unknown_paths_and_operations_are_told_apart() {
    let bench = Bench::start(slow()).await;
    let old = bench.get("/MAAS/api/1.0/machines/").await;
    assert_eq!(
        (old.status, old.content_type.as_str()),
        (410, "text/plain; charset=utf-8")
    );
    let unknown = bench.get("/MAAS/api/2.0/nothing/").await;
    assert_eq!(
        (unknown.status, unknown.content_type.as_str()),
        (404, "text/html; charset=utf-8")
    );
    let operation = bench.send(bench.maas("POST", "machines/?op=foo")).await;
    assert_eq!(
        (operation.status, operation.text.as_str()),
        (400, "Unrecognised signature: method=POST op=foo")
    );
    let redirected = bench.get("/MAAS/api/2.0/machines?tags=r1").await;
    assert_eq!(redirected.status, 301);
    assert_eq!(
        redirected.headers["location"],
        "/MAAS/api/2.0/machines/?tags=r1"
    );
}
