//! The front page: it goes live, it is searched, and it leads to every why.

use fantoccini::key::Key;
use serde_json::json;
use tests::{SOON, System, machines};

use crate::browser::Browser;
use crate::until_at_rest;

/// The names of all cells, from front to back.
const CELLS: &str =
    "[...document.querySelectorAll('a.cell .name')].map((name) => name.textContent)";

/// The cell of a machine.
fn cell(machine: &str) -> String {
    format!(
        "[...document.querySelectorAll('a.cell')].find((cell) => cell.querySelector('.name').textContent === '{machine}')"
    )
}

#[tokio::test]
async fn the_fleet_goes_live_and_leads_to_every_why() {
    let lab = [
        "--racks",
        "1",
        "--machines",
        "15",
        "--odd",
        "11",
        "--speed",
        "300",
    ];
    let system = System::start(&lab).await;
    system.add_rack("r1").await;
    let _scheduler = system.scheduler();
    let _workers = [system.worker("w1"), system.worker("w2")];
    let dashboard = system.dashboard("127.0.0.1:0").await;
    let browser = Browser::start().await;
    let front = format!("{}/", dashboard.url());
    // The first four are as they should be; the last is unknown to MAAS.
    let all = machines("r1", 15);
    let good = &all[..4];

    browser.open(&front).await;
    browser
        .until(
            "the page is live",
            "document.getElementById('live').dataset.state === 'live'",
        )
        .await;
    browser.watch().await;
    system.tick(b"r1").await;
    for machine in good {
        let ok = format!("{}?.classList.contains('ok')", cell(machine));
        browser
            .until("a cell says that its machine deploys", &ok)
            .await;
        let ran = format!("window.seen.some((seen) => seen.startsWith('{machine} ▶'))");
        assert_eq!(
            browser.eval(&ran).await,
            true,
            "{}",
            browser.eval("window.seen").await
        );
    }
    assert_eq!(browser.text("#live").await, "live");
    // One was out of order before.
    let broken = &all[10];
    let attention = browser.text("#attention").await;
    assert!(
        attention.contains(broken) && attention.contains("fail_streak"),
        "{attention}"
    );
    assert!(
        !good.iter().any(|machine| attention.contains(machine)),
        "{attention}"
    );

    // One that fails moves to the front, of the page and of its rack. The watch says that nothing was loaded again.
    system.until_finished(1, SOON).await;
    until_at_rest(&system, good).await;
    let failing = &good[2];
    system.lab.fail_next(failing).await;
    system.tick(b"r1").await;
    let front_cells = format!("{CELLS}.slice(0, 2).join() === '{broken},{failing}'");
    browser
        .until("the failed machine is in front", &front_cells)
        .await;
    let listed = format!("document.querySelector('#attention').innerText.includes('{failing}')");
    browser.until("it is listed on top", &listed).await;
    let attention = browser.text("#attention").await;
    assert!(
        attention.contains(failing.as_str()) && attention.contains("in provision, exit status 1"),
        "{attention}"
    );
    assert_eq!(browser.eval("Array.isArray(window.seen)").await, true);
    let name = browser.eval("document.title").await;
    assert_eq!(name, "✖ 2 · Fleet · racktick");
    system.until_finished(2, SOON).await;

    finds_every_why_in_two_clicks(&browser, &front, failing, &all).await;
    filters_by_keyboard(&browser, &front, failing).await;
    goes_by_keyboard(&browser, &front, failing).await;
    acts_as_its_role_lets(&browser, &system, dashboard.url()).await;
    browser.quit().await;
}

/// What a newcomer wants to know: why was this one left alone, and what failed on that one?
async fn finds_every_why_in_two_clicks(
    browser: &Browser,
    front: &str,
    failing: &str,
    all: &[String],
) {
    // A machine that somebody owns, that is locked, and one whose agent is offline.
    for (number, code, words) in [
        (12, "maas_owner", "left alone"),
        (11, "maas_locked", "left alone"),
        (5, "agent_offline", "left alone"),
    ] {
        let machine = &all[number];
        browser.open(front).await;
        let table = browser.text("#left-alone").await;
        assert!(
            table.contains(code) && table.contains(machine.as_str()),
            "{table}"
        );
        let href = format!("a.cell[href='/machines/{machine}']");
        let shown = browser.text(&href).await;
        assert!(shown.contains(code), "{machine}: {shown}");
        browser.click(&href).await;
        browser
            .until(
                "the machine's page",
                &format!("document.querySelector('h1').innerText.includes('{machine}')"),
            )
            .await;
        let summary = browser.text("#summary").await;
        assert!(
            summary.contains(words) && summary.contains(code),
            "{summary}"
        );
        // Not the code alone: a sentence.
        let sentence = summary.lines().find(|line| line.contains(code)).unwrap();
        assert!(sentence.split_whitespace().count() > 6, "{sentence}");
    }
    browser.open(front).await;
    let link = format!("#attention a[href='/machines/{failing}']");
    browser.click(&link).await;
    browser
        .until(
            "the failed machine's page",
            &format!("document.querySelector('h1').innerText.includes('{failing}')"),
        )
        .await;
    let failure = browser.text("#failure").await;
    for part in [
        "failed",
        "in provision, exit status 1",
        "The last good deployment",
    ] {
        assert!(failure.contains(part), "{part}: {failure}");
    }
    browser.click("#failure p a").await;
    browser
        .until(
            "the job's page",
            "location.pathname.startsWith('/jobs/') && document.querySelector('#looks')",
        )
        .await;
    let looks = browser.text("#looks").await;
    assert!(looks.contains("provision"), "{looks}");
}

async fn filters_by_keyboard(browser: &Browser, front: &str, failing: &str) {
    browser.open(front).await;
    browser.tab_to("#q").await;
    browser.keys("r1-m0").await;
    browser.tab_to("#state").await;
    browser.keys("left").await;
    browser.press(Key::Enter).await;
    browser.tab_to("form.find button").await;
    browser.press(Key::Enter).await;
    browser
        .until(
            "the address holds the filter",
            "location.search === '?q=r1-m0&state=left_alone'",
        )
        .await;
    let shown = &format!("{CELLS}.sort()");
    let expected = (5..10).map(|number| format!("r1-m{number:02}"));
    let first = browser.eval(shown).await;
    assert_eq!(first, json!(expected.collect::<Vec<_>>()));
    let url = browser.url().await;
    browser.reload().await;
    assert_eq!(browser.eval(shown).await, first);
    browser.open_tab(&url).await;
    assert_eq!(browser.eval(shown).await, first);
    assert_eq!(
        browser
            .eval("[document.getElementById('q').value, document.getElementById('state').value]")
            .await,
        json!(["r1-m0", "left_alone"])
    );
    // What comes later obeys the filter, too.
    browser
        .until(
            "the page is live",
            "document.getElementById('live').dataset.state === 'live'",
        )
        .await;
    assert_eq!(browser.eval(shown).await, first);

    browser.open(&format!("{front}?state=suspect")).await;
    assert_eq!(browser.eval(CELLS).await, json!([failing]));
}

/// From the top of the page to a machine without a mouse.
async fn goes_by_keyboard(browser: &Browser, front: &str, failing: &str) {
    browser.open(front).await;
    browser
        .until(
            "the page is live",
            "document.getElementById('live').dataset.state === 'live'",
        )
        .await;
    // It can be held as it is.
    browser.tab_to("#pause").await;
    for state in ["paused", "live"] {
        browser.press(Key::Enter).await;
        let says = format!("document.getElementById('live').dataset.state === '{state}'");
        browser.until(state, &says).await;
        let is_closed = browser
            .eval("source.readyState === EventSource.CLOSED")
            .await;
        assert_eq!(is_closed, state == "paused", "{state}");
    }
    browser.reload().await;
    browser.press(Key::Tab).await;
    assert_eq!(
        browser.eval("document.activeElement.className").await,
        "skip"
    );
    let left = browser
        .eval("document.activeElement.getBoundingClientRect().left >= 0")
        .await;
    assert_eq!(left, true, "the link is not shown while it has the focus");
    browser.press(Key::Enter).await;
    browser
        .until(
            "the focus is at the content",
            "document.activeElement.id === 'content'",
        )
        .await;
    let cell = format!("a.cell[href='/machines/{failing}']");
    browser.tab_to(&cell).await;
    assert_eq!(
        browser
            .eval("getComputedStyle(document.activeElement).outlineStyle")
            .await,
        "solid"
    );
    browser.press(Key::Enter).await;
    browser
        .until(
            "the machine's page",
            &format!("document.querySelector('h1').innerText.includes('{failing}')"),
        )
        .await;
}

/// Whoever signed in as a viewer cannot act, and an operator can, without a mouse: others see it at once.
async fn acts_as_its_role_lets(browser: &Browser, system: &System, root: &str) {
    let rack = format!("{root}/racks/r1");
    let post = "const form = new URLSearchParams({ reason: 'for fun', seal: 'none' });
        const answer = await fetch('/racks/r1/pause', { method: 'POST', body: form, redirect: 'manual' });
        return answer.status;";
    let add = |name, role| ["dashboard", "token", "add", name, "--role", role];
    let viewer = system.run(&add("vera", "viewer")).await;
    let operator = system.run(&add("olga", "operator")).await;

    browser.open(&format!("{root}/login")).await;
    let help = browser.text("main").await;
    assert!(
        help.contains("racktick dashboard token add NAME --role operator"),
        "{help}"
    );
    browser.tab_to("#token").await;
    browser.keys("racktick_of_nobody").await;
    browser.press(Key::Enter).await;
    browser
        .until("the token is refused", "document.querySelector('.alarm')")
        .await;

    for token in [None, Some(&viewer)] {
        if let Some(token) = token {
            browser.sign_in(root, token.trim()).await;
            let shown = browser.text("form.visitor").await;
            assert!(shown.contains("vera"), "{shown}");
        }
        browser.open(&rack).await;
        assert_eq!(
            browser
                .eval("document.querySelectorAll('form.action').length")
                .await,
            0
        );
        assert_eq!(browser.eval_later(post).await, 403);
    }
    browser.click("form.visitor button").await;
    browser
        .until("nobody is signed in", "document.querySelector('a.visitor')")
        .await;

    browser.sign_in(root, operator.trim()).await;
    assert_eq!(browser.eval_later(post).await, 403, "not from its form");
    keeps_what_is_being_written(browser, system, &rack).await;
    browser.open(root).await;
    browser
        .until(
            "the page is live",
            "document.getElementById('live').dataset.state === 'live'",
        )
        .await;
    browser.run("window.same = true").await;
    let paused = "document.querySelector('#rack-r1 .badge.paused')";
    assert_eq!(browser.eval(paused).await, json!(null));
    let front = browser.tab().await;
    browser.open_tab(&rack).await;
    browser.tab_to("#racks-r1-pause-reason").await;
    browser.keys("its switch is replaced").await;
    browser.press(Key::Enter).await;
    let told = "document.querySelector('#done')?.innerText.includes('paused by olga: its switch is replaced')";
    browser
        .until("it is told who paused it and why", told)
        .await;
    assert_eq!(browser.url().await, rack);
    browser.go_to_tab(front).await;
    browser.until("another page says it, too", paused).await;
    let card = browser.text("#rack-r1").await;
    assert!(card.contains("by olga"), "{card}");
    assert_eq!(browser.eval("window.same").await, true);
}

/// A form that is being filled in stays as it is while the page around it changes.
async fn keeps_what_is_being_written(browser: &Browser, system: &System, rack: &str) {
    browser.open(rack).await;
    browser
        .until(
            "the page is live",
            "document.getElementById('live').dataset.state === 'live'",
        )
        .await;
    browser.tab_to("#racks-r1-tick-reason").await;
    browser.keys("half of").await;
    let paused = "document.querySelector('#schedule .badge.paused')";
    system
        .run(&["rack", "pause", "r1", "--reason", "somebody else"])
        .await;
    browser
        .until("the page says that it is paused", paused)
        .await;
    browser.keys(" it").await;
    let written = browser.eval("document.activeElement.value").await;
    assert_eq!(written, "half of it");
    // What came meanwhile is there when it is left.
    let resume = "document.querySelector('#racks-r1-resume-reason')";
    assert_eq!(browser.eval(resume).await, json!(null));
    browser.run("document.activeElement.blur()").await;
    browser.until("its form is there", resume).await;
    system.run(&["rack", "resume", "r1"]).await;
    browser
        .until("it is not paused", &format!("!{paused}"))
        .await;
}
