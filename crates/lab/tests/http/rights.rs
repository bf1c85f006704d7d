//! Who may do what.

use std::collections::BTreeMap;

use lab::{Client, LabConfig, Role};
use serde_json::{Value, json};

use crate::client::{Bench, slow};

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

async fn with_client() -> Bench {
    let limits = |pairs: &[(&str, i64)]| -> BTreeMap<String, i64> {
        pairs
            .iter()
            .map(|(queue, limit)| ((*queue).to_owned(), *limit))
            .collect()
    };
    let friend = Client {
        max_priority: limits(&[("q", 100), ("*", 10)]),
        max_reservation_time: limits(&[("q", 50_000)]),
        allowed_queues: vec!["theirs".to_owned()],
        ..Client::new("friend", "a-long-enough-secret", Role::Contributor)
    };
    Bench::start(LabConfig {
        clients: vec![friend],
        ..slow()
    })
    .await
}

#[tokio::test]
async fn anonymous_callers_are_contributors_unless_oidc_is_on() {
    let bench = Bench::start(slow()).await;
    let closed = Bench::start(LabConfig {
        oidc: true,
        ..slow()
    })
    .await;
    for path in [
        "/v1/agents/data",
        "/v1/agents/queues",
        "/v1/restricted-queues",
        "/v1/job/search",
    ] {
        assert_eq!(bench.get(path).await.status, 200, "{path}");
        let answer = closed.get(path).await;
        let message = "Authentication is required for specified endpoint";
        assert_eq!(
            (answer.status, answer.message().as_str()),
            (401, message),
            "{path}"
        );
        assert_eq!(
            closed.as_client("racktick", "GET", path, None).await.status,
            200,
            "{path}"
        );
    }
    assert_eq!(
        closed
            .post("/v1/job", json!({"job_queue": "q"}))
            .await
            .status,
        401
    );
    assert_eq!(closed.get("/v1").await.status, 200);
}

#[tokio::test]
async fn each_endpoint_names_the_roles_it_is_for() {
    let bench = Bench::start(slow()).await;
    let people = "Specified action requires role: admin, manager, contributor";
    for (client, method, path, message) in [
        (
            None,
            "GET",
            "/v1/job?queue=q",
            "Specified action requires role: agent",
        ),
        (
            None,
            "POST",
            "/v1/agents/data/x",
            "Specified action requires role: admin, manager, agent",
        ),
        (
            None,
            "GET",
            "/v1/client-permissions",
            "Specified action requires role: admin, manager",
        ),
        (
            Some("lab-manager"),
            "POST",
            "/v1/oauth2/revoke",
            "Specified action requires role: admin",
        ),
        (Some("lab-agent"), "GET", "/v1/agents/data", people),
        (Some("lab-agent"), "POST", "/v1/job", people),
        (Some("lab-agent"), "GET", &format!("/v1/job/{ID}"), people),
        (
            Some("lab-agent"),
            "POST",
            &format!("/v1/job/{ID}/action"),
            people,
        ),
        (
            Some("testflinger-admin"),
            "POST",
            &format!("/v1/result/{ID}"),
            "Specified action requires role: agent",
        ),
    ] {
        let answer = match client {
            Some(client) => bench.as_client(client, method, path, Some(json!({}))).await,
            None => bench.call(method, path, json!({})).await,
        };
        assert_eq!(
            (answer.status, answer.message().as_str()),
            (403, message),
            "{client:?} {path}"
        );
    }
    let result = bench
        .as_client("lab-agent", "GET", &format!("/v1/result/{ID}"), None)
        .await;
    assert_eq!(result.status, 204);
}

#[tokio::test]
async fn another_scheme_is_neither_a_login_nor_anonymous() {
    let bench = Bench::start(slow()).await;
    let answer = bench
        .send(
            bench
                .request("GET", "/v1/agents/data")
                .basic_auth("a", Some("b")),
        )
        .await;
    assert_eq!(answer.status, 403);
    assert!(
        answer
            .message()
            .starts_with("Specified action requires role: ")
    );
}

#[tokio::test]
async fn priorities_need_rights() {
    let bench = with_client().await;
    let job = |queue: &str, priority: i64| json!({"job_queue": queue, "job_priority": priority});
    assert_eq!(bench.post("/v1/job", job("q", 0)).await.status, 200);
    for priority in [1, -1] {
        let answer = bench.post("/v1/job", job("q", priority)).await;
        let message = format!("Authentication required for setting priority: {priority}");
        assert_eq!((answer.status, answer.message()), (401, message));
    }
    for (queue, priority, status) in [
        ("q", 100, 200),
        ("q", 101, 403),
        ("p", 10, 200),
        ("p", 11, 403),
        ("p", -5, 200),
    ] {
        let answer = bench
            .as_client("friend", "POST", "/v1/job", Some(job(queue, priority)))
            .await;
        assert_eq!(answer.status, status, "{queue} {priority}");
    }
    let answer = bench
        .as_client("racktick", "POST", "/v1/job", Some(job("q", 1)))
        .await;
    assert_eq!(
        answer.message(),
        "Not enough permissions to push to q with priority 1"
    );
}

#[tokio::test]
async fn the_highest_priority_is_next() {
    let bench = with_client().await;
    let low = bench.submit("q").await;
    let urgent = json!({"job_queue": "q", "job_priority": 7});
    let high = bench
        .as_client("friend", "POST", "/v1/job", Some(urgent))
        .await;
    let high = high.json()["job_id"].as_str().unwrap().to_owned();
    assert_eq!(
        bench.get(&format!("/v1/job/{high}/position")).await.text,
        "0"
    );
    assert_eq!(
        bench.get(&format!("/v1/job/{low}/position")).await.text,
        "1"
    );
}

#[tokio::test]
async fn restricted_queues_are_for_their_owners_only() {
    let bench = with_client().await;
    let job = json!({"job_queue": "theirs"});
    let answer = bench.post("/v1/job", job.clone()).await;
    let message = "Authentication required to push to restricted queue: theirs";
    assert_eq!((answer.status, answer.message().as_str()), (401, message));
    assert_eq!(
        bench
            .as_client("friend", "POST", "/v1/job", Some(job.clone()))
            .await
            .status,
        200
    );
    let answer = bench
        .as_client("testflinger-admin", "POST", "/v1/job", Some(job))
        .await;
    let message = "Not enough permissions to push to the restricted queue: theirs";
    assert_eq!((answer.status, answer.message().as_str()), (403, message));
    assert_eq!(
        bench.get("/v1/restricted-queues").await.json(),
        json!([{"queue": "theirs", "owners": ["friend"]}])
    );
    assert_eq!(
        bench.get("/v1/restricted-queues/theirs").await.json()["owners"],
        json!(["friend"])
    );
    assert_eq!(bench.get("/v1/restricted-queues/q").await.status, 404);
}

#[tokio::test]
async fn long_reservations_need_rights() {
    let bench = with_client().await;
    let job = |queue: &str, timeout: Value| json!({"job_queue": queue, "reserve_data": {"timeout": timeout}});
    assert_eq!(
        bench.post("/v1/job", job("q", json!("6h"))).await.status,
        200
    );
    let answer = bench.post("/v1/job", job("q", json!(21_601))).await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (401, "Authentication required for setting timeout: 21601")
    );
    for (queue, timeout, status) in [
        ("q", 50_000, 200),
        ("q", 50_001, 403),
        ("p", 21_600, 200),
        ("p", 21_601, 403),
    ] {
        let answer = bench
            .as_client(
                "friend",
                "POST",
                "/v1/job",
                Some(job(queue, json!(timeout))),
            )
            .await;
        assert_eq!(answer.status, status, "{queue} {timeout}");
    }
}

#[tokio::test]
async fn a_grant_counts_from_the_next_token_on() {
    let bench = Bench::start(slow()).await;
    let before = bench.token("racktick").await;
    let grant = Some(json!({"client_id": "racktick"}));
    let path = "/v1/restricted-queues/r1-m01";
    assert_eq!(
        bench
            .as_client("lab-manager", "POST", path, grant.clone())
            .await
            .text,
        "OK"
    );
    let submit = async |token: &str| {
        let request = bench
            .request("POST", "/v1/job")
            .bearer_auth(token)
            .json(&json!({"job_queue": "r1-m01"}));
        bench.send(request).await.status
    };
    assert_eq!(submit(&before).await, 403);
    assert_eq!(submit(&bench.token("racktick").await).await, 200);
    let agent = bench.get("/v1/agents/data/r1-m01").await.json();
    assert_eq!(agent["restricted_to"], json!({"r1-m01": ["racktick"]}));
    assert_eq!(
        bench
            .as_client("lab-manager", "DELETE", path, grant.clone())
            .await
            .text,
        "OK"
    );
    assert_eq!(
        bench
            .post("/v1/job", json!({"job_queue": "r1-m01"}))
            .await
            .status,
        200
    );
    assert_eq!(
        bench
            .as_client("lab-manager", "DELETE", path, grant.clone())
            .await
            .status,
        404
    );
    for (path, body) in [
        (
            "/v1/restricted-queues/nobody",
            json!({"client_id": "racktick"}),
        ),
        (
            "/v1/restricted-queues/r1-m01",
            json!({"client_id": "nobody"}),
        ),
    ] {
        assert_eq!(
            bench
                .as_client("lab-manager", "POST", path, Some(body))
                .await
                .status,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn clients_are_managed_by_those_above_them() {
    let bench = Bench::start(slow()).await;
    let put = async |me: &str, client: &str, body: Value| {
        let answer = bench
            .as_client(
                me,
                "PUT",
                &format!("/v1/client-permissions/{client}"),
                Some(body),
            )
            .await;
        (answer.status, answer.text)
    };
    assert_eq!(put("lab-manager", "new", json!({})).await.0, 400);
    assert_eq!(
        put("lab-manager", "new", json!({"client_secret": "short"}))
            .await
            .0,
        422
    );
    let created = put(
        "lab-manager",
        "new",
        json!({"client_secret": "fifteen-letters", "max_priority": {"*": 5}}),
    )
    .await;
    assert_eq!(
        created,
        (200, "Created permissions for client 'new'".to_owned())
    );
    let updated = put("lab-manager", "new", json!({"role": "manager"})).await;
    assert_eq!(
        updated,
        (200, "Updated permissions for client 'new'".to_owned())
    );
    assert_eq!(
        put("lab-manager", "new", json!({"role": "admin"})).await.0,
        403
    );
    assert_eq!(
        put("testflinger-admin", "new", json!({"role": "admin"}))
            .await
            .0,
        200
    );
    assert_eq!(
        put("lab-manager", "new", json!({"role": "agent"})).await.0,
        403
    );
    assert_eq!(
        put("testflinger-admin", "testflinger-admin", json!({}))
            .await
            .0,
        422
    );
    let shown = bench
        .as_client("lab-manager", "GET", "/v1/client-permissions/new", None)
        .await
        .json();
    assert_eq!(
        (&shown["role"], &shown["max_priority"]),
        (&json!("admin"), &json!({"*": 5}))
    );
    assert!(shown.get("client_secret").is_none());
    let all = bench
        .as_client("lab-manager", "GET", "/v1/client-permissions", None)
        .await
        .json();
    assert_eq!(all.as_array().unwrap().len(), 6);
    let delete = async |client: &str| {
        bench
            .as_client(
                "testflinger-admin",
                "DELETE",
                &format!("/v1/client-permissions/{client}"),
                None,
            )
            .await
            .status
    };
    assert_eq!(delete("new").await, 200);
    assert_eq!(delete("new").await, 404);
    assert_eq!(delete("testflinger-admin").await, 422);
}

#[tokio::test]
async fn links_for_people_lead_somewhere() {
    let bench = Bench::start(slow()).await;
    for path in [
        "/agents/r1-m01",
        "/jobs/11f8fb1b-8ae2-54fc-8f25-bf02bb7ba9d2",
        "/MAAS/r/machines/?hostname=%3Dr1-m01",
    ] {
        let answer = bench.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.text.contains("for people"),
            "{path}: {}",
            answer.text
        );
    }
}
