//! Who is let in.

use std::net::IpAddr;

use dashboard::tokens::Role;
use jiff::Timestamp;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, LOCATION,
    SET_COOKIE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};

use crate::dashboard::{Dashboard, SIZE};
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
    assert!(!cookie.contains("Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    // Behind a proxy that speaks TLS.
    let request = dashboard.client.post(url("/login"));
    let request = request.header("x-forwarded-proto", "https");
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = request.body(format!("token={token}")).send().await.unwrap();
    let secure = answer.headers()[SET_COOKIE].to_str().unwrap();
    assert!(secure.ends_with("; Secure"), "{secure}");
    let out = dashboard.client.post(url("/logout")).send().await.unwrap();
    let gone = out.headers()[SET_COOKIE].to_str().unwrap();
    assert!(
        gone.starts_with("racktick_token=;") && gone.contains("Max-Age=0"),
        "{gone}"
    );

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
    let mut left_open = dashboard.live_for("/", &token).await;
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

#[tokio::test]
async fn a_page_with_a_secret_of_its_visitor_is_not_compressed() {
    let dashboard = Dashboard::told(14).await;
    let add = |name, role| dashboard.tokens.add(name, role, Timestamp::now()).unwrap();
    let (viewer, operator) = (add("vic", Role::Viewer), add("olga", Role::Operator));
    let is_compressed = async |path: &str, token: &str, accept: &str| {
        let request = dashboard
            .client
            .get(format!("http://{}{path}", dashboard.address));
        let request = request.bearer_auth(token).header(ACCEPT, accept);
        let answer = request
            .header(ACCEPT_ENCODING, "gzip")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer
            .headers()
            .get(CONTENT_ENCODING)
            .is_some_and(|encoding| encoding == "gzip")
    };
    for path in ["/", "/racks/r0", "/api/v1/fleet", "/assets/style.css"] {
        assert!(is_compressed(path, &viewer, "*/*").await, "{path}");
    }
    assert!(!is_compressed("/racks/r0", &operator, "*/*").await);
    assert!(!is_compressed("/racks/r0", &viewer, "text/event-stream").await);
}

/// The dashboard of these tests trusts 127.0.0.2, and not 127.0.0.1.
#[tokio::test]
async fn a_proxy_that_is_trusted_says_who_its_visitor_is_and_nobody_else_does() {
    let dashboard = Dashboard::start_for(&Teller::new(13).story(SIZE), false).await;
    let from = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        let client = Client::builder().local_address(address);
        client.redirect(Policy::none()).build().unwrap()
    };
    let (proxy, stranger) = (from("127.0.0.2"), from("127.0.0.1"));
    let url = |path: &str| format!("http://{}{path}", dashboard.address);
    let ask = async |client: &Client, path: &str, headers: &[(&str, &str)]| {
        let mut request = client.get(url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let fleet = "/api/v1/fleet";
    let user = ("x-forwarded-user", "ann@example.com");
    let (status, _) = ask(&stranger, fleet, &[user]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let admin = ("x-forwarded-role", "admin");
    let (status, _) = ask(&stranger, "/access", &[user, admin]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(ask(&proxy, fleet, &[]).await.0, StatusCode::UNAUTHORIZED);

    let (status, page) = ask(&proxy, "/racks/r0", &[user]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("ann@example.com"));
    for what in ["Sign out", "name=\"seal\""] {
        assert!(!page.contains(what), "{what}");
    }
    let operator = ("x-forwarded-role", "operator");
    let (_, page) = ask(&proxy, "/racks/r0", &[user, operator]).await;
    let seal = page.split("name=\"seal\" value=\"").nth(1).unwrap();
    let seal = seal.split('"').next().unwrap();
    assert_eq!(
        ask(&proxy, "/access", &[user, admin]).await.0,
        StatusCode::OK
    );

    // The seal is good for this visitor with this role alone.
    let tick = async |client: &Client, name: &str, role: &str| {
        let request = client.post(url("/racks/r0/tick"));
        let request = request.header("x-forwarded-user", name);
        let request = request.header("x-forwarded-role", role);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let body = format!("seal={seal}&reason=mended");
        request.body(body).send().await.unwrap().status()
    };
    assert_eq!(tick(&proxy, user.1, "viewer").await, StatusCode::FORBIDDEN);
    assert_eq!(tick(&proxy, "bob", "operator").await, StatusCode::FORBIDDEN);
    assert_eq!(
        tick(&stranger, user.1, "operator").await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        tick(&proxy, user.1, "operator").await,
        StatusCode::SEE_OTHER
    );

    let long = "x".repeat(257);
    for odd in [
        &[("x-forwarded-user", "")][..],
        &[("x-forwarded-user", &long)],
        &[("x-forwarded-user", "a\tb")],
        &[user, user],
        &[user, ("x-forwarded-role", "king")],
        &[user, operator, admin],
    ] {
        let (status, says) = ask(&proxy, fleet, odd).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{odd:?}");
        assert!(says.contains("the proxy's header x-forwarded-"), "{says}");
    }
    // Programs come past the proxy, with tokens.
    let token = dashboard.tokens.add("bot", Role::Viewer, Timestamp::now());
    let bearer = format!("Bearer {}", token.unwrap());
    let with_token = [("authorization", bearer.as_str())];
    for client in [&proxy, &stranger] {
        assert_eq!(ask(client, fleet, &with_token).await.0, StatusCode::OK);
    }
}
