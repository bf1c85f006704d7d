//! A page that is held open through the end of the dashboard and of the broker.

use tests::{SOON, System};

use crate::browser::Browser;

const STATE: &str = "document.getElementById('live').dataset.state";

#[tokio::test]
async fn a_page_says_when_it_is_stale_and_becomes_true_again() {
    let lab = ["--racks", "1", "--machines", "3", "--speed", "300"];
    let mut system = System::start(&lab).await;
    system.add_rack("r1").await;
    let _workers = [system.worker("w1"), system.worker("w2")];
    let mut dashboard = system.dashboard("127.0.0.1:0").await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/", dashboard.url())).await;
    browser.run("window.same = true").await;
    system.tick(b"r1").await;
    system.until_finished(1, SOON).await;
    let all_ok = "document.querySelectorAll('a.cell.ok').length === 3";
    browser.until("all machines deploy", all_ok).await;

    dashboard.process.kill_9().await;
    browser
        .until(
            "the page says that it is stale",
            &format!("{STATE} === 'stale'"),
        )
        .await;
    let says = browser.text("#live").await;
    assert!(says.contains("does not answer, as of"), "{says}");
    // The machines go on meanwhile.
    system.until_agents_wait().await;
    system.lab.fail_next("r1-m02").await;
    system.tick(b"r1").await;
    let missed = system.until_finished(2, SOON).await;
    assert_eq!(browser.eval(all_ok).await, true);
    let address = dashboard.address().to_owned();
    dashboard = system.dashboard(&address).await;
    browser
        .until("the page is live again", &format!("{STATE} === 'live'"))
        .await;
    let cycle = format!("document.querySelector('#rack-r1 a[href=\"/cycles/{missed}\"]')");
    browser.until("the cycle that it missed", &cycle).await;
    browser
        .until(
            "its failure",
            "document.querySelector('a.cell.suspect .name')?.textContent === 'r1-m02'",
        )
        .await;
    assert_eq!(
        browser
            .eval("document.querySelectorAll('a.cell').length")
            .await,
        3
    );

    system.broker.kill_9().await;
    browser
        .until(
            "the page says since when it knows nothing",
            "document.querySelector('#standing .alarm time')",
        )
        .await;
    let says = browser.text("#standing").await;
    assert!(says.contains("The broker was not heard of since"), "{says}");
    assert_eq!(browser.eval(STATE).await, "stale");
    let says = browser.text("#live").await;
    assert!(says.contains("stale, as of"), "{says}");
    // What was is there.
    assert_eq!(
        browser
            .eval("document.querySelectorAll('a.cell').length")
            .await,
        3
    );
    system.broker.restart().await;
    browser
        .until(
            "nothing is said any more",
            "!document.querySelector('#standing .alarm')",
        )
        .await;
    browser
        .until("the page is live again", &format!("{STATE} === 'live'"))
        .await;
    system.until_agents_wait().await;
    system.tick(b"r1").await;
    system.until_finished(3, SOON).await;
    browser.until("the machine deploys again", all_ok).await;
    assert_eq!(
        browser.eval("window.same").await,
        true,
        "the page was loaded again"
    );
    browser.quit().await;
    drop(dashboard);
}
