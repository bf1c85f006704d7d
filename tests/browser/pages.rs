//! Every page, for everyone: narrow, without script, with whatever names the machines have, for assistive technology.

use jiff::Timestamp;
use model::cycle::Origin;
use model::event::{Event, Fact, Job};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use serde_json::{Value, json};
use testkit::workspace;
use tests::{SOON, System, machines, nats};

use crate::browser::Browser;
use crate::pictures::whole;
use crate::{axe, until_at_rest};

/// What a page must show as it is, and never obey. MAAS would refuse it as a host's name; who publishes an event would
/// not.
const MARKUP: &str = "<img src=x onerror=\"window.obeyed=1\"><script>window.obeyed=1</script>";
const LONG: &str = "a_name_without_any_place_to_break_it_that_goes_on_and_on_for_longer_than_a_telephone_is_wide_and_then_some";

/// How many parts of tables that become cards would be none any more for a screen reader.
const MUTE: &str =
    "document.querySelectorAll('.stack :is(table, thead, tbody, tr, th, td):not([role])').length";

/// What has to be scrolled sideways to be seen whole.
const HIDDEN: &str = "[document.scrollingElement, ...document.querySelectorAll('.wide, .cell')]
    .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.outerHTML.slice(0, 200))";

#[tokio::test]
async fn every_page_is_for_everyone() {
    let lab = [
        "--racks",
        "1",
        "--machines",
        "14",
        "--odd",
        "11",
        "--speed",
        "300",
    ];
    let system = System::start(&lab).await;
    for name in [MARKUP, LONG] {
        system.lab.add_machine("r1", name).await;
    }
    system.add_rack("r1").await;
    let _scheduler = system.scheduler();
    let _workers = [system.worker("w1"), system.worker("w2")];
    let dashboard = system.dashboard("127.0.0.1:0").await;
    let browser = Browser::start().await;

    system
        .tick(
            json!({"rack": "r1", "by": MARKUP, "reason": MARKUP})
                .to_string()
                .as_bytes(),
        )
        .await;
    system.until_finished(1, SOON).await;
    until_at_rest(&system, &machines("r1", 3)).await;
    system.lab.fail_next("r1-m02").await;
    system.tick(b"r1").await;
    let cycle = system.until_finished(2, SOON).await;
    publish_as_a_stranger(&system).await;

    let root = dashboard.url();
    browser.open(root).await;
    let all_told = format!(
        "document.body.innerText.includes({})",
        json!(format!("stranger {MARKUP}"))
    );
    browser.until("everything is told", &all_told).await;
    let job = job_of(&browser, "r1-m02").await;
    let pages = [
        ("fleet", "/".to_owned()),
        ("rack", "/racks/r1".to_owned()),
        ("cycle", format!("/cycles/{cycle}")),
        ("machine", "/machines/r1-m02".to_owned()),
        ("left-alone", "/machines/r1-m12".to_owned()),
        ("job", job),
        ("now", "/now".to_owned()),
        ("trends", "/trends".to_owned()),
        ("system", "/system".to_owned()),
        ("login", "/login".to_owned()),
        ("unknown", "/machines/nobody".to_owned()),
    ];
    let pages = pages.map(|(name, path)| (name, format!("{root}{path}")));

    obeys_nobody(&browser, root).await;
    fits_a_telephone(&browser, &pages).await;
    is_whole_without_script(&browser, root, &pages).await;
    // An admin is shown what anybody is, and every form.
    let add = ["dashboard", "token", "add", "ann", "--role", "admin"];
    let token = system.run(&add).await;
    browser.sign_in(root, token.trim()).await;
    let access = ("access", format!("{root}/access"));
    is_usable_by_all(&browser, &pages).await;
    is_usable_by_all(&browser, &[access]).await;
    browser.quit().await;
}

/// Events of a rack and a machine that nobody planned.
async fn publish_as_a_stranger(system: &System) {
    let rack = RackName::new("stranger").unwrap();
    let time = Timestamp::now();
    let cycle = CycleId::of_slot(&rack, time);
    let machine = MachineName::new(format!("stranger {MARKUP}")).unwrap();
    let job = Job {
        job: JobId::of(cycle, &machine),
        machine,
    };
    let facts = [
        Fact::CycleStarted {
            origin: Origin::Manual {
                by: Some(MARKUP.into()),
                reason: Some(MARKUP.into()),
            },
        },
        Fact::JobProgressed {
            job: job.clone(),
            state: MARKUP.into(),
        },
        Fact::JobRejected {
            job,
            status: 422,
            message: MARKUP.into(),
        },
    ];
    for fact in facts {
        let event = Event {
            time,
            rack: rack.clone(),
            cycle,
            fact,
        };
        let subject = event.subject().to_string();
        nats::publish(&system.broker.url(), &subject, &event.to_json()).await;
    }
}

/// The path of the page of the last job of a machine.
pub(crate) async fn job_of(browser: &Browser, machine: &str) -> String {
    let path = format!(
        "fetch('/api/v1/machines/{machine}').then((answer) => answer.json()).then((machine) => machine.last.job)"
    );
    let job = browser.eval_later(&format!("return await {path}")).await;
    format!("/jobs/{}", job.as_str().unwrap())
}

/// Markup of strangers is text.
async fn obeys_nobody(browser: &Browser, root: &str) {
    let machine = |name: &str| {
        let name: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("{root}/machines/{name}")
    };
    for url in [
        format!("{root}/"),
        format!("{root}/now"),
        format!("{root}/racks/stranger"),
        format!("{root}/racks/r1"),
        machine(MARKUP),
        machine(&format!("stranger {MARKUP}")),
    ] {
        browser.open(&url).await;
        browser
            .until(
                "the page is live",
                "document.getElementById('live').dataset.state === 'live'",
            )
            .await;
        let text = browser.text("body").await;
        assert!(
            text.contains(MARKUP),
            "{url} does not show the name as it is:\n{text}"
        );
        let made = browser
            .eval("document.querySelectorAll('img, script:not([src]), iframe').length")
            .await;
        assert_eq!(made, 0, "{url} makes elements of a name");
        assert_eq!(
            browser.eval("window.obeyed ?? null").await,
            Value::Null,
            "{url}"
        );
    }
}

/// No page is wider than any screen: not than the narrowest, and not than one on which tables are hardly tables yet.
async fn fits_a_telephone(browser: &Browser, pages: &[(&str, String)]) {
    for width in [360, 700, 2560] {
        browser.size(width, 800).await;
        for (name, url) in pages {
            browser.open(url).await;
            let [wide, room] = ["document.scrollingElement.scrollWidth", "window.innerWidth"];
            let (wide, room) = (browser.eval(wide).await, browser.eval(room).await);
            assert_eq!(room, width, "{name}");
            if width != 700 {
                let hidden = browser.eval(HIDDEN).await;
                assert_eq!(hidden, json!([]), "{name}, {width}");
            }
            let who = browser.eval(
                "[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth \
                 && !e.closest('.wide')).map((e) => e.outerHTML.slice(0, 200))",
            );
            assert!(
                wide.as_u64() <= room.as_u64(),
                "{name} is {wide} wide of {room}: {}",
                who.await
            );
        }
    }
    browser.size(1280, 900).await;
}

/// What the server sends is the page: the script only keeps it true.
async fn is_whole_without_script(browser: &Browser, root: &str, pages: &[(&str, String)]) {
    // Times apart, which the script turns into the reader's own, and what says whether the page is live.
    let words = "(() => { const main = document.querySelector('main').cloneNode(true); \
                 main.querySelectorAll('time').forEach((time) => time.remove()); \
                 return main.textContent; })()";
    for (name, url) in pages {
        browser.open(url).await;
        // A page that says that nothing is there, or asks who it is, has no script.
        if browser.eval("!document.getElementById('live')").await == true {
            continue;
        }
        browser.until("the script runs", "document.getElementById('live').dataset.state === 'live' || !document.getElementById('pause').hidden").await;
        let with = browser.eval(words).await;
        browser.allow_scripts(false).await;
        browser.open(url).await;
        assert_eq!(
            browser
                .eval("document.getElementById('pause').hidden")
                .await,
            true,
            "{name}: the script runs"
        );
        assert_eq!(browser.eval(words).await, with, "{name}");
        assert!(
            browser.text("#live").await.starts_with("not live"),
            "{name}"
        );
        browser.allow_scripts(true).await;
    }
    // A form and a link work, too.
    browser.allow_scripts(false).await;
    browser.open(root).await;
    browser.click("#q").await;
    browser.keys("r1-m12").await;
    browser.click("form.find button").await;
    browser
        .until(
            "the address holds the filter",
            "location.search.startsWith('?q=r1-m12')",
        )
        .await;
    browser.click("a.cell").await;
    browser
        .until(
            "the machine's page",
            "document.querySelector('h1').innerText.includes('r1-m12')",
        )
        .await;
    browser.allow_scripts(true).await;
}

/// An automatic checker finds nothing, in light and in dark, on a wide screen and on a telephone; nor does the browser
/// complain of anything. A picture of each is left for people to look at.
async fn is_usable_by_all(browser: &Browser, pages: &[(&str, String)]) {
    let folder = workspace().join("target/pictures/tests");
    std::fs::create_dir_all(&folder).unwrap();
    let checker = axe::checker().await;
    let mut found = Vec::new();
    browser.complaints().await;
    for (name, url) in pages {
        browser.open(url).await;
        let heading = browser.text("main h1").await;
        assert_ne!(heading, "", "{name} has no heading");
        let mute = browser.eval(MUTE).await;
        assert_eq!(mute, 0, "{name}: a card's parts do not say what they are");
        browser.run(&checker).await;
        for (scheme, width) in [
            ("light", 1280),
            ("light", 390),
            ("dark", 390),
            ("dark", 1280),
        ] {
            browser.prefer(scheme).await;
            browser.size(width, 900).await;
            let violations = browser.eval_later(axe::CHECK).await;
            for violation in violations.as_array().unwrap() {
                found.push(format!("{name}, {scheme}, {width}: {violation}"));
            }
            let hidden = browser.eval(HIDDEN).await;
            if hidden != json!([]) {
                found.push(format!(
                    "{name}, {scheme}, {width}: {hidden} is to be scrolled"
                ));
            }
            let picture = format!("{name}-{width}-{scheme}");
            whole(browser, &folder, &picture, width).await;
        }
        let complaints = browser.complaints().await.into_iter();
        // That there is no such machine is meant so.
        let complaints = complaints.filter(|of| !(*name == "unknown" && of.contains("404")));
        found.extend(complaints.map(|of| format!("{name}: {of}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
