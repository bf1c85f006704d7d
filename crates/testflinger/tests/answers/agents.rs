//! Agents, and lists of them.

use crate::*;

#[tokio::test]
async fn agents_are_read_whatever_is_missing_or_new() {
    let (testflinger, wire) = answering(&json(
        r#"[
        {"name": "node1", "state": "waiting", "queues": ["node1", "tor"], "location": "TOR3", "job_id": "",
         "comment": "", "updated_at": "2026-11-21T00:55:32Z", "provision_streak_type": "fail",
         "provision_streak_count": 21, "restricted_to": {"node1": ["me", "you"]}, "log": ["x"], "new": {"a": []}},
        {"name": "node2", "state": "dreaming", "queues": null, "updated_at": {"$date": "2026-11-21T00:55:32Z"},
         "restricted_to": {}, "job_id": "6d0f"},
        {"name": "node3", "location": "", "updated_at": "2026-11-21T00:55:32+00:00Z"},
        {"name": "node4", "updated_at": "soon", "state": null, "restricted_to": null}
    ]"#,
    ))
    .await;
    let agents = testflinger.agents().await.unwrap();
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let updated_at = Some("2026-11-21T00:55:32Z".parse().unwrap());
    let missing = |name: &str| Agent {
        name: name.to_owned(),
        state: None,
        queues: BTreeSet::new(),
        location: None,
        job_id: None,
        updated_at: None,
        provision_streak_type: None,
        provision_streak_count: None,
        restricted_to: Default::default(),
    };
    assert_eq!(
        agents,
        [
            Agent {
                state: Some("waiting".into()),
                queues: set(&["node1", "tor"]),
                location: Some("TOR3".into()),
                updated_at,
                provision_streak_type: Some("fail".into()),
                provision_streak_count: Some(21),
                restricted_to: [("node1".to_owned(), set(&["me", "you"]))].into(),
                ..missing("node1")
            },
            Agent {
                state: Some("dreaming".into()),
                job_id: Some("6d0f".into()),
                updated_at,
                ..missing("node2")
            },
            Agent {
                updated_at,
                ..missing("node3")
            },
            missing("node4"),
        ]
    );
    assert_eq!(wire.requests()[0].line, "GET /v1/agents/data");
    let saved = serde_json::to_string(&agents).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Agent>>(&saved).unwrap(), agents);
}

#[tokio::test]
async fn what_is_not_a_list_of_agents_decides_nothing() {
    for body in [
        "null",
        "{}",
        "",
        "[null]",
        "[{}]",
        "[[]]",
        r#"[{"name": ""}]"#,
        r#"[{"name": 1}]"#,
        "[] x",
    ] {
        let error = answering(&json(body)).await.0.agents().await.unwrap_err();
        assert_eq!(causes(&error), (Class::Malformed, "malformed"), "{body}");
    }
    let error = answering(&json(PAGE)).await.0.agents().await.unwrap_err();
    assert_eq!(causes(&error), (Class::Malformed, "html"));
    let error = answering(NOTHING).await.0.agents().await.unwrap_err();
    assert_eq!(causes(&error), (Class::Malformed, "status"));
}

#[tokio::test]
async fn an_endless_list_ends_at_its_cap() {
    let wire = Wire::start(|_| {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\n\r\n[".to_vec()),
            Step::Forever(br#"{"name": "a"},"#.repeat(100)),
        ]
    })
    .await;
    let limits = Limits {
        list_bytes: 1 << 20,
        ..Limits::default()
    };
    let error = testflinger_with(&wire, limits).agents().await.unwrap_err();
    assert_eq!(causes(&error), (Class::Malformed, "too_large"));
}

#[tokio::test]
async fn one_agent_is_there_or_clearly_not() {
    let (testflinger, wire) = answering(&json(r#"{"name": "a b/c", "state": "waiting"}"#)).await;
    assert_eq!(
        testflinger
            .agent("a b/c")
            .await
            .unwrap()
            .unwrap()
            .state
            .as_deref(),
        Some("waiting")
    );
    assert_eq!(wire.requests()[0].line, "GET /v1/agents/data/a%20b%2Fc");
    let error = testflinger.agent("other").await.unwrap_err();
    assert_eq!(error.cause(), "malformed");
    for unnameable in ["", ".", ".."] {
        assert_eq!(testflinger.agent(unnameable).await.unwrap(), None);
    }

    let (testflinger, _wire) = answering(&answer("404 NOT FOUND", "", "{}\n")).await;
    assert_eq!(testflinger.agent("node1").await.unwrap(), None);
    for other_404 in [
        "",
        "Not found: 404 Not Found: ...",
        PAGE,
        r#"{"message": "no"}"#,
    ] {
        let (testflinger, _wire) = answering(&text("404 NOT FOUND", other_404)).await;
        assert!(testflinger.agent("node1").await.is_err(), "{other_404}");
    }
    for not_an_agent in ["{}", "[]", "null"] {
        let error = answering(&json(not_an_agent))
            .await
            .0
            .agent("node1")
            .await
            .unwrap_err();
        assert_eq!(error.cause(), "malformed", "{not_an_agent}");
    }
}
