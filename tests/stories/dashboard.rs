//! An operator at the dashboard.

use std::collections::BTreeMap;

use model::cycle::Origin;
use model::event::Fact;
use reqwest::{Client, StatusCode};
use testkit::until;
use tests::{SOON, System};

/// A tick, and the cancel of the job that comes of it: by whom and why is told with what becomes of them.
#[tokio::test]
async fn an_operator_ticks_a_rack_and_cancels_its_job() {
    let flags = ["--racks", "1", "--machines", "1", "--speed", "60"];
    let system = System::start(&flags).await;
    system.add_rack("r1").await;
    let _worker = system.worker("w1");
    let _scheduler = system.scheduler();
    let dashboard = system.dashboard("127.0.0.1:0").await;
    let added = system
        .json(&["dashboard", "token", "add", "olga", "--role", "operator"])
        .await;
    let token = added["token"].as_str().unwrap();
    let client = Client::new();
    let page = async |path: &str| {
        let request = client.get(format!("{}{path}", dashboard.url()));
        let answer = request.bearer_auth(token).send().await.unwrap();
        answer.text().await.unwrap()
    };
    let act = async |path: &str, action: &str, reason: &str| {
        let page = page(path).await;
        let (_, after) = page.split_once("name=\"seal\" value=\"").expect("a form");
        let seal = after.split('"').next().unwrap();
        let form = BTreeMap::from([("seal", seal), ("reason", reason)]);
        let request = client.post(format!("{}{path}/{action}", dashboard.url()));
        let answer = request.bearer_auth(token).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{action}");
    };
    until(SOON, "the dashboard knows the rack", async || {
        page("/racks/r1").await.contains("Tick now")
    })
    .await;
    act("/racks/r1", "tick", "after the repair").await;
    let mut job = None;
    until(SOON, "its job is submitted", async || {
        job = system
            .events()
            .await
            .into_iter()
            .find_map(|event| match event.fact {
                Fact::JobSubmitted { job, .. } => Some(job.job),
                _ => None,
            });
        job.is_some()
    })
    .await;
    let path = format!("/jobs/{}", job.unwrap());
    until(SOON, "the dashboard knows the job", async || {
        page(&path).await.contains("Cancel")
    })
    .await;
    act(&path, "cancel", "wrong image").await;
    system.until_finished(1, SOON).await;
    let (mut ticked, mut cancelled) = (None, None);
    for event in system.events().await {
        match event.fact {
            Fact::CycleStarted {
                origin: Origin::Manual { by, reason },
            } => ticked = by.zip(reason),
            Fact::JobFinished { cancel, .. } => {
                cancelled = cancel.map(|cancel| (cancel.by, cancel.why));
            }
            _ => {}
        }
    }
    let by_olga = |why: &str| Some(("olga".to_owned(), why.to_owned()));
    assert_eq!(ticked, by_olga("after the repair"));
    assert_eq!(cancelled, by_olga("wrong image"));
}
