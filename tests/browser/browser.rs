//! Chromium, driven by its chromedriver.

use std::process::Stdio;
use std::time::Duration;

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::wd::{WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::until;
use tests::SOON;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use url::{ParseError, Url};

/// Says that the page was not loaded again since, and what its cells showed.
const WATCH: &str = "
    window.seen = [];
    const look = () => document.querySelectorAll('a.cell .now').forEach((now) => {
        const cell = now.closest('a.cell').querySelector('.name').textContent;
        window.seen.push(`${cell} ${now.textContent}`);
    });
    look();
    new MutationObserver(look).observe(document.getElementById('parts'), { subtree: true, childList: true });
";

/// Chromium ends together with its chromedriver, and that with this value.
pub(crate) struct Browser {
    chromedriver: Child,
    driver: Client,
    has_ended: bool,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser with an empty profile.
    pub(crate) async fn start() -> Self {
        testkit::prepare();
        let mut chromedriver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver starts: `tests/run` installs it and chromium");
        let port = timeout(SOON, port(&mut chromedriver))
            .await
            .expect("chromedriver listens");
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        let options = json!({"args": [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            // Text without colours at its edges makes smaller pictures.
            "--disable-lcd-text",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--lang=en-GB",
            profile_flag,
        ]});
        let chrome = [
            ("goog:chromeOptions".to_owned(), options),
            (
                "goog:loggingPrefs".to_owned(),
                json!({"browser": "WARNING"}),
            ),
        ];
        let driver = ClientBuilder::new(HttpConnector::new())
            .capabilities(chrome.into_iter().collect())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await;
        let browser = Self {
            chromedriver,
            driver: driver.expect("chromium starts"),
            has_ended: false,
            _profile: profile,
        };
        browser.size(1280, 900).await;
        browser
    }

    /// Ends it.
    pub(crate) async fn quit(mut self) {
        let ended = self.driver.clone().close().await;
        ended.expect("chromium ends");
        self.has_ended = true;
        self.chromedriver.kill().await.expect("chromedriver ends");
    }

    /// Opens an address.
    pub(crate) async fn open(&self, url: &str) {
        self.driver.goto(url).await.expect("the page opens");
    }

    /// Signs in with a token, by keyboard: the field for it has the focus.
    pub(crate) async fn sign_in(&self, root: &str, token: &str) {
        self.open(&format!("{root}/login")).await;
        self.until(
            "its field has the focus",
            "document.activeElement.id === 'token'",
        )
        .await;
        self.keys(token).await;
        self.press(Key::Enter).await;
        self.until(
            "somebody is signed in",
            "document.querySelector('form.visitor')",
        )
        .await;
    }

    /// Loads the page again.
    pub(crate) async fn reload(&self) {
        self.driver.refresh().await.expect("the page opens again");
    }

    /// Opens an address in a tab of its own, and goes there.
    pub(crate) async fn open_tab(&self, url: &str) {
        let tab = self.driver.new_window(true).await.expect("a tab opens");
        self.go_to_tab(tab.handle).await;
        self.open(url).await;
    }

    /// The tab that it is at.
    pub(crate) async fn tab(&self) -> WindowHandle {
        self.driver.window().await.expect("there is one")
    }

    /// Goes to a tab.
    pub(crate) async fn go_to_tab(&self, tab: WindowHandle) {
        let there = self.driver.switch_to_window(tab).await;
        there.expect("the tab is there");
    }

    /// The address of the page.
    pub(crate) async fn url(&self) -> String {
        self.driver.current_url().await.expect("it has one").into()
    }

    /// What a JavaScript expression is in the page.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        let answer = self.driver.execute(&script, Vec::new()).await;
        answer.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Runs statements in the page.
    pub(crate) async fn run(&self, script: &str) {
        let ran = self.driver.execute(script, Vec::new()).await;
        ran.unwrap_or_else(|error| panic!("{script}: {error}"));
    }

    /// Runs an asynchronous function's body in the page, and returns what it returns.
    pub(crate) async fn eval_later(&self, body: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (async () => {{ {body} }})().then((value) => done({{ value }}), (error) => done({{ error: String(error) }}));"
        );
        let answer = self.driver.execute_async(&script, Vec::new()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(answer.get("error"), None, "{body}");
        answer["value"].clone()
    }

    /// Waits until a JavaScript expression is true in the page.
    pub(crate) async fn until(&self, what: &str, expression: &str) {
        self.until_within(SOON, what, expression).await;
    }

    /// The same with a limit of its own.
    pub(crate) async fn until_within(&self, limit: Duration, what: &str, expression: &str) {
        let seen = timeout(
            limit,
            until(limit * 2, what, async || {
                self.eval(&format!("!!({expression})")).await == true
            }),
        );
        if seen.await.is_err() {
            let text = self.text("body").await;
            panic!("not within {limit:?}: {what}; the page says\n{text}");
        }
    }

    /// The text that the first element of this selector shows, or nothing when there is none.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let selector = json!(selector);
        let text = self
            .eval(&format!(
                "document.querySelector({selector})?.innerText ?? ''"
            ))
            .await;
        text.as_str().expect("a text").to_owned()
    }

    /// Clicks the first element of this selector, as a person does: a live page may put another in its place meanwhile.
    pub(crate) async fn click(&self, selector: &str) {
        let clicked = async || -> Result<(), CmdError> {
            let element = self.driver.find(Locator::Css(selector)).await?;
            element.click().await
        };
        until(
            SOON,
            &format!("{selector} is clicked"),
            async || match clicked().await {
                Ok(()) => true,
                Err(error) if error.is_stale_element_reference() => false,
                Err(error) => panic!("{selector}: {error}"),
            },
        )
        .await;
    }

    /// Types to whatever has the focus.
    pub(crate) async fn keys(&self, keys: &str) {
        let keyboard = KeyActions::new("keyboard".into());
        let keys = keys.chars().fold(keyboard, |keyboard, value| {
            keyboard
                .then(KeyAction::Down { value })
                .then(KeyAction::Up { value })
        });
        let typed = self.driver.perform_actions(keys).await;
        typed.expect("the browser has a keyboard");
    }

    /// Presses a key that is no character.
    pub(crate) async fn press(&self, key: Key) {
        self.keys(&char::from(key).to_string()).await;
    }

    /// Presses Tab until the element with the focus matches this selector.
    pub(crate) async fn tab_to(&self, selector: &str) {
        let is_there = format!("document.activeElement.matches({})", json!(selector));
        for _ in 0..200 {
            if self.eval(&is_there).await == true {
                return;
            }
            self.press(Key::Tab).await;
        }
        panic!("no Tab leads to {selector}");
    }

    /// Remembers in the page what its cells show of running jobs, until it is loaded again.
    pub(crate) async fn watch(&self) {
        self.run(WATCH).await;
    }

    /// Makes the page so wide and high.
    pub(crate) async fn size(&self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
    }

    /// Says that the reader prefers this: `light` or `dark`.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Says in which language the reader's times are.
    pub(crate) async fn speak(&self, locale: &str) {
        self.devtools("Emulation.setLocaleOverride", json!({"locale": locale}))
            .await;
    }

    /// Whether pages may run scripts. Those of the driver always may.
    pub(crate) async fn allow_scripts(&self, allow: bool) {
        self.devtools(
            "Emulation.setScriptExecutionDisabled",
            json!({"value": !allow}),
        )
        .await;
    }

    /// A picture of the page, as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        self.driver.screenshot().await.expect("a picture is taken")
    }

    /// What pages had to complain of since it was asked last: errors of scripts, what was not loaded, what the policy
    /// forbade.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.driver.issue_cmd(Log).await;
        let log = log.unwrap_or_else(|error| panic!("the browser's log: {error}"));
        let entries = log.as_array().expect("a list").iter();
        entries.map(|entry| entry.to_string()).collect()
    }

    async fn devtools(&self, method: &'static str, parameters: Value) {
        let sent = self.driver.issue_cmd(Devtools { method, parameters }).await;
        sent.unwrap_or_else(|error| panic!("{method}: {error}"));
    }
}

/// A command of Chromium's own developer tools, which its driver passes on.
#[derive(Debug)]
struct Devtools {
    method: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = json!({"cmd": self.method, "params": self.parameters});
        (Method::POST, Some(body.to_string()))
    }
}

/// What chromedriver keeps of what a page's console says.
#[derive(Debug)]
struct Log;

impl WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        // The test failed. The driver is about to be killed, and would leave chromium behind.
        let capabilities = self.driver.capabilities();
        let id = capabilities.and_then(|of| of.get("goog:processID")?.as_i64());
        let chromium = id.and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(chromium) = chromium {
            let _ = kill_process(chromium, Signal::KILL);
        }
    }
}

async fn port(chromedriver: &mut Child) -> u16 {
    let stdout = chromedriver.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.expect("chromedriver talks") {
        let said = line.rsplit_once("started successfully on port ");
        if let Some((_, port)) = said {
            // Whatever else it says must not fill the pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return port.trim_end_matches('.').parse().expect("a port");
        }
    }
    panic!("chromedriver ended");
}
