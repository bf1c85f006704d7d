#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! What MAAS can answer, good and bad, and what the caller is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use maas::{ApiKey, Class, Limits, Maas, MaasError, MaasUrl, Settings, Version};
use testkit::wire::{Step, Wire, answer, json};

/// Short for a test that waits for it, long for a busy machine.
const SHORT: Duration = Duration::from_secs(1);

fn maas_with(wire: &Wire, limits: Limits) -> Maas {
    let url = MaasUrl::parse(&format!("{}/MAAS", wire.url())).unwrap();
    let key = ApiKey::parse("consumer:to/ken:hunter2").unwrap();
    Maas::new(Settings {
        url,
        key,
        limits,
        ca: None,
    })
    .unwrap()
}

fn maas(wire: &Wire) -> Maas {
    maas_with(wire, Limits::default())
}

/// The error of asking a server that always answers this for the machines of `r7`.
async fn error_of(raw: &str) -> MaasError {
    let wire = Wire::answering(raw).await;
    maas(&wire).machines_by_tag("r7").await.unwrap_err()
}

/// Everything that a log could show of an error.
fn all_of(error: &MaasError) -> String {
    let mut text = format!("{error:?}");
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        text = format!("{text} {error}");
        next = error.source();
    }
    text
}

/// The OAuth parameters of a header, decoded.
fn oauth(header: &str) -> BTreeMap<String, String> {
    let parameters = header.strip_prefix("OAuth ").unwrap().split(',');
    parameters
        .map(|parameter| {
            let (name, value) = parameter.trim().split_once('=').unwrap();
            let value = value
                .trim_matches('"')
                .replace("%26", "&")
                .replace("%2F", "/");
            (name.to_owned(), value)
        })
        .collect()
}

#[tokio::test]
async fn machines_are_read_whatever_else_maas_knows_of_them() {
    let wire = Wire::answering(&json(
        r#"[
        {"system_id": "abc123", "hostname": "node1", "fqdn": "node1.maas", "status": 4, "status_name": "Ready",
         "owner": null, "locked": false, "power_state": "off", "pool": {"id": 0, "name": "default"},
         "zone": {"id": 1, "name": "z"}, "interface_set": [{"links": []}], "tag_names": ["r7"]},
        {"system_id": "abc124", "hostname": "node2", "status": 6, "status_name": "Deployed", "owner": "ann",
         "locked": true, "pool": null},
        {"hostname": "node3", "status": 99, "owner": ""},
        {"hostname": "node4"}
    ]"#,
    ))
    .await;
    let machines = maas(&wire).machines_by_tag("r7").await.unwrap();
    assert_eq!(
        machines
            .iter()
            .map(|m| m.hostname.as_str())
            .collect::<Vec<_>>(),
        ["node1", "node2", "node3", "node4"]
    );
    assert_eq!(
        (machines[0].status, machines[0].status_name.as_str()),
        (Some(4), "Ready")
    );
    assert_eq!(
        (machines[0].owner.as_deref(), machines[0].locked),
        (None, false)
    );
    assert_eq!(
        (machines[0].pool.as_deref(), machines[0].zone.as_deref()),
        (Some("default"), Some("z"))
    );
    assert_eq!(
        (machines[1].owner.as_deref(), machines[1].locked),
        (Some("ann"), true)
    );
    assert_eq!(
        (
            machines[2].status_name.as_str(),
            machines[2].owner.as_deref()
        ),
        ("status 99", None)
    );
    assert_eq!(
        (machines[3].status, machines[3].status_name.as_str()),
        (None, "no status")
    );
    assert_eq!(
        wire.requests()[0].line,
        "GET /MAAS/api/2.0/machines/?tags=r7"
    );

    let saved = serde_json::to_string(&machines).unwrap();
    assert_eq!(
        serde_json::from_str::<Vec<maas::Machine>>(&saved).unwrap(),
        machines
    );
}

#[tokio::test]
async fn a_tag_without_machines_is_an_empty_list() {
    let wire = Wire::answering(&json("[]")).await;
    assert_eq!(maas(&wire).machines_by_tag("r7").await.unwrap(), []);
}

#[tokio::test]
async fn every_request_is_signed_anew() {
    let wire = Wire::answering(&json("[]")).await;
    let maas = maas(&wire);
    let mut nonces = BTreeSet::new();
    for _ in 0..3 {
        maas.machines_by_tag("r7").await.unwrap();
    }
    for request in wire.requests() {
        let header = request.header("authorization").unwrap();
        let oauth = oauth(header);
        assert_eq!(oauth["oauth_signature_method"], "PLAINTEXT");
        assert_eq!(oauth["oauth_consumer_key"], "consumer");
        assert_eq!(oauth["oauth_token"], "to/ken");
        // The consumer secret, in front of the `&`, is empty.
        assert_eq!(oauth["oauth_signature"], "&hunter2");
        let age =
            jiff::Timestamp::now().as_second() - oauth["oauth_timestamp"].parse::<i64>().unwrap();
        assert!((0..60).contains(&age), "{age}");
        nonces.insert(oauth["oauth_nonce"].clone());
    }
    assert_eq!(nonces.len(), 3);
}

#[tokio::test]
async fn an_unknown_tag_is_not_an_empty_rack() {
    let headers = "content-type: application/json\r\n";
    let error = error_of(&answer(
        "400 Bad Request",
        headers,
        r#"{"tags": ["No such tag(s): 'r7'."]}"#,
    ))
    .await;
    assert!(
        matches!(&error, MaasError::UnknownTag(tag) if tag == "r7"),
        "{error:?}"
    );
    assert_eq!(
        (error.class(), error.cause()),
        (Class::Rejected, "unknown_tag")
    );

    let error = error_of(&answer(
        "400 Bad Request",
        headers,
        r#"{"name": ["No such constraint."]}"#,
    ))
    .await;
    assert_eq!((error.class(), error.cause()), (Class::Rejected, "status"));
    assert!(all_of(&error).contains("No such constraint"));
}

#[tokio::test]
async fn a_401_is_told_without_its_body() {
    let body = "Authorization Error: 'Invalid signature. Expected signature base string: &hunter3'";
    let error = error_of(&answer(
        "401 Unauthorized",
        "www-authenticate: OAuth realm=\"OAuth\"\r\n",
        body,
    ))
    .await;
    assert_eq!((error.class(), error.cause()), (Class::Auth, "auth"));
    assert!(
        !all_of(&error).contains("hunter") && !all_of(&error).contains("signature"),
        "{}",
        all_of(&error)
    );
}

#[tokio::test]
async fn a_missing_right_is_its_own_error() {
    let error = error_of(&answer(
        "403 Forbidden",
        "",
        "User is not allowed access to this API.",
    ))
    .await;
    assert_eq!((error.class(), error.cause()), (Class::Auth, "forbidden"));
    assert!(error.to_string().contains("not allowed access"), "{error}");

    let error = error_of(&answer(
        "403 Forbidden",
        "",
        "<html>the proxy says no</html>",
    ))
    .await;
    assert_eq!((error.class(), error.cause()), (Class::Malformed, "html"));
}

#[tokio::test]
async fn our_secret_is_hidden_wherever_it_is_echoed() {
    let body = "Exception: request with oauth_signature=%26hunter2 failed, hunter2 it was";
    for status in ["500 Internal", "400 Bad", "403 Forbidden", "404 Not Found"] {
        let error = error_of(&answer(status, "", body)).await;
        assert!(!all_of(&error).contains("hunter2"), "{}", all_of(&error));
    }
    let error = error_of(&json(r#"[{"hostname": "", "system_id": "hunter2"}]"#)).await;
    assert!(!all_of(&error).contains("hunter2"), "{}", all_of(&error));
    let error = error_of(&json(r#"["hunter2"]"#)).await;
    assert!(!all_of(&error).contains("hunter2"), "{}", all_of(&error));
    let wire = Wire::answering("").await;
    assert!(!format!("{:?}", maas(&wire)).contains("hunter2"));
}

#[tokio::test]
async fn trouble_that_passes_says_when() {
    for (status, headers, wait) in [
        ("409 Conflict", "retry-after: 5\r\n", Some(5)),
        ("503 Unavailable", "retry-after: 10\r\n", Some(10)),
        ("500 Internal", "", None),
        ("504 Timeout", "", None),
    ] {
        let error = error_of(&answer(status, headers, "later")).await;
        assert_eq!(
            (error.class(), error.cause()),
            (Class::Transient, "status"),
            "{status}"
        );
        assert_eq!(error.retry_after(), wait.map(Duration::from_secs));
    }
    let error = error_of(&answer("409 Conflict", "", "state")).await;
    assert_eq!(error.class(), Class::Rejected);
}

#[tokio::test]
async fn what_is_not_a_list_of_machines_decides_nothing() {
    for body in [
        "null",
        "{}",
        "",
        "[null]",
        "[[]]",
        "[{}]",
        r#"[{"system_id": "abc"}]"#,
        r#"[{"hostname": "a", "status": "Ready"}]"#,
        "[] []",
    ] {
        let error = error_of(&json(body)).await;
        assert_eq!(
            (error.class(), error.cause()),
            (Class::Malformed, "malformed"),
            "{body}"
        );
    }
    let error = error_of(&json(r#"[{"system_id": "abc"}]"#)).await;
    assert!(
        all_of(&error).contains("`abc` has no host name"),
        "{}",
        all_of(&error)
    );
    assert_eq!(
        error_of(&json("<!doctype html><p>Sign in")).await.cause(),
        "html"
    );
    assert_eq!(
        error_of(&answer("302 Found", "location: /login\r\n", ""))
            .await
            .cause(),
        "redirect"
    );
    assert_eq!(
        error_of(&answer("204 No Content", "", "")).await.cause(),
        "status"
    );
}

#[tokio::test]
async fn a_list_that_ends_too_early_too_late_or_never_decides_nothing() {
    let limits = || Limits {
        silence: SHORT,
        list_bytes: 1 << 20,
        ..Limits::default()
    };
    let head = |length: &str| Step::Send(format!("HTTP/1.1 200 OK\r\n{length}\r\n[").into_bytes());
    type Steps = Box<dyn Fn() -> Vec<Step> + Send + Sync>;
    let cases: [(&str, Limits, Steps); 6] = [
        (
            "cut",
            limits(),
            Box::new(move || vec![head("content-length: 99\r\n"), Step::Close]),
        ),
        (
            "cut",
            limits(),
            Box::new(move || vec![head(""), Step::Close]),
        ),
        (
            "timeout",
            limits(),
            Box::new(move || vec![head("content-length: 99\r\n"), Step::Hang]),
        ),
        (
            "timeout",
            Limits {
                first_byte: SHORT,
                ..limits()
            },
            Box::new(|| vec![Step::Hang]),
        ),
        (
            "timeout",
            Limits {
                list_total: SHORT,
                ..limits()
            },
            Box::new(|| vec![Step::Hang]),
        ),
        (
            "too_large",
            limits(),
            Box::new(move || {
                vec![
                    head(""),
                    Step::Forever(br#"{"hostname": "a", "status": 4},"#.repeat(100)),
                ]
            }),
        ),
    ];
    for (want, limits, steps) in cases {
        let wire = Wire::start(move |_| steps()).await;
        let error = maas_with(&wire, limits)
            .machines_by_tag("r7")
            .await
            .unwrap_err();
        assert_eq!(error.cause(), want, "{error:?}");
    }
}

#[tokio::test]
async fn the_user_of_the_key_is_known() {
    let wire = Wire::answering(&json(
        r#"{"username": "racktick", "email": "", "is_superuser": false}"#,
    ))
    .await;
    let user = maas(&wire).whoami().await.unwrap();
    assert_eq!((user.name.as_str(), user.admin), ("racktick", Some(false)));
    assert_eq!(
        wire.requests()[0].line,
        "GET /MAAS/api/2.0/users/?op=whoami"
    );
    assert!(wire.requests()[0].header("authorization").is_some());

    let wire = Wire::answering(&json("{}")).await;
    assert_eq!(maas(&wire).whoami().await.unwrap_err().cause(), "malformed");
}

#[tokio::test]
async fn the_version_is_asked_without_the_key_and_tells_the_clock() {
    let body = r#"{"version": "3.5.1", "subversion": "", "capabilities": []}"#;
    let wire = Wire::answering(&answer(
        "200 OK",
        "date: Sat, 21 Nov 2020 08:00:00 GMT\r\n",
        body,
    ))
    .await;
    let version = maas(&wire).version().await.unwrap();
    assert_eq!(version.version, "3.5.1");
    assert!(version.clock_offset.unwrap().is_negative());
    assert_eq!(wire.requests()[0].line, "GET /MAAS/api/2.0/version/");
    assert_eq!(wire.requests()[0].header("authorization"), None);
    let saved = serde_json::to_string(&version).unwrap();
    assert_eq!(serde_json::from_str::<Version>(&saved).unwrap(), version);
}

/// A client whose key can be told from a part of any word.
fn maas_with_a_long_key(wire: &Wire) -> Maas {
    Maas::new(Settings {
        url: MaasUrl::parse(&format!("{}/MAAS", wire.url())).unwrap(),
        key: ApiKey::parse("hunter2Consumer:hunter2Token:hunter2/Secret").unwrap(),
        limits: Limits::default(),
        ca: None,
    })
    .unwrap()
}

#[tokio::test]
async fn what_is_kept_of_an_answer_holds_no_part_of_the_key() {
    let wire = Wire::start(|request| {
        let header = request.header("authorization").unwrap_or_default();
        let said = format!("got {header} of hunter2Consumer:hunter2Token:hunter2/Secret");
        let word = serde_json::json!(said);
        let body = match request.line.contains("/users/") {
            true => format!(r#"{{"username": {word}}}"#),
            false => format!(
                r#"[{{"hostname": "n", "system_id": {word}, "status": 4, "status_name": {word}, "owner": {word},
                     "power_state": {word}, "pool": {{"name": {word}}}, "zone": {{"name": {word}}}}}]"#
            ),
        };
        vec![Step::Send(json(&body).into())]
    })
    .await;
    let maas = maas_with_a_long_key(&wire);
    for kept in [
        format!("{:?}", maas.machines_by_tag("r7").await.unwrap()),
        format!("{:?}", maas.whoami().await.unwrap()),
    ] {
        assert!(
            kept.contains("of ***:***:***"),
            "nothing was repeated: {kept}"
        );
        assert!(!kept.contains("hunter2"), "{kept}");
    }
    for request in wire.requests() {
        assert!(request.head.contains("hunter2%2FSecret"), "{request:?}");
    }
}

#[tokio::test]
async fn a_host_name_that_holds_the_key_is_nobodys_name() {
    let body = r#"[{"hostname": "n-hunter2Token", "system_id": "abc123"}]"#;
    let wire = Wire::answering(&json(body)).await;
    let error = maas_with_a_long_key(&wire)
        .machines_by_tag("r7")
        .await
        .unwrap_err();
    assert_eq!(
        (error.class(), error.cause()),
        (Class::Malformed, "malformed")
    );
    let text = all_of(&error);
    assert!(
        text.contains("the host name of machine `abc123`, `n-***`, holds a part of our API key"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}
