//! Who is let in.

use dashboard::tokens::Role;
use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};

use crate::dashboard::{Dashboard, Live, SIZE};
use crate::support::story::Teller;

#[tokio::test]
async fn without_a_token_nobody_reads_anything() {
    let dashboard = Dashboard::start_for(&Teller::new(10).story(SIZE), false).await;
    let tokens = &dashboard.tokens;
    let url = |path: &str| format!("http://{}{path}", dashboard.address);

    for path in [
        "/",
        "/racks/r0",
        "/now?kind=job.finished",
        "/system",
        "/nothing",
    ] {
        let answer = dashboard.get(path).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        let to = answer.headers()[LOCATION].to_str().unwrap();
        assert!(to.starts_with("/login?next=%2F"), "{to}");
        assert!(answer.text().await.unwrap().is_empty());
    }
    for path in ["/api/v1/fleet", "/api/v1/nothing", "/metrics"] {
        let says = dashboard.problem(path, StatusCode::UNAUTHORIZED).await;
        assert!(says.contains("racktick dashboard token add"), "{says}");
    }
    assert_eq!(
        dashboard.live("/").await.answer.status(),
        StatusCode::UNAUTHORIZED
    );
    assert!(
        dashboard
            .page("/login")
            .await
            .contains("racktick dashboard token add")
    );
    assert_eq!(dashboard.page("/healthz").await, "ok\n");
    assert_eq!(dashboard.page("/readyz").await, "ok\n");

    let token = tokens.add("ann", Role::Viewer, Timestamp::now()).unwrap();
    let sign_in = async |token: &str, next: &str| {
        let form = format!("token={token}&next={next}");
        let request = dashboard.client.post(url("/login")).body(form);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.send().await.unwrap()
    };
    let refused = sign_in("racktick_wrong", "/").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(!refused.headers().contains_key(SET_COOKIE));
    let elsewhere = sign_in(&token, "//evil.example").await;
    assert_eq!(elsewhere.headers()[LOCATION], "/");
    let answer = sign_in(&token, "%2Fracks%2Fr0").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[LOCATION], "/racks/r0");
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();

    let with = async |path: &str, name, value: &str| {
        let request = dashboard.client.get(url(path)).header(name, value);
        request.send().await.unwrap().status()
    };
    let bearer = format!("Bearer {token}");
    assert_eq!(with("/racks/r0", COOKIE, &cookie).await, StatusCode::OK);
    for path in ["/api/v1/fleet", "/metrics"] {
        assert_eq!(
            with(path, AUTHORIZATION, &bearer).await,
            StatusCode::OK,
            "{path}"
        );
        assert_eq!(with(path, COOKIE, &cookie).await, StatusCode::OK, "{path}");
    }
    let request = dashboard.client.get(url("/")).bearer_auth(&token);
    let request = request.header(ACCEPT, "text/event-stream");
    let mut left_open = Live {
        answer: request.send().await.unwrap(),
        text: String::new(),
    };
    assert_eq!(left_open.next().await.unwrap().0, "all");
    tokens.remove("ann").unwrap();
    dashboard.tell();
    assert_eq!(left_open.next().await, None);
    assert_eq!(
        with("/racks/r0", COOKIE, &cookie).await,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        with("/metrics", AUTHORIZATION, &bearer).await,
        StatusCode::UNAUTHORIZED
    );
}
