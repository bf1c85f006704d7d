//! Configuration as a person meets it: precedence, sources, refusals, masks, the example file.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use std::collections::BTreeMap;

use program::Place;
use serde_json::Value;

const EXAMPLE: &str = include_str!("../../../racktick.example.toml");

/// Name, to value and source, as `config show --output json` prints them.
fn shown(place: &Place, arguments: &[&str]) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let ended = place.run(&[arguments, &["config", "show", "--output", "json"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let rows: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    rows.iter()
        .map(|row| {
            (
                text(&row["name"]).unwrap(),
                (text(&row["value"]), text(&row["source"])),
            )
        })
        .collect()
}

fn row(value: &str, source: &str) -> (Option<String>, Option<String>) {
    (Some(value.into()), Some(source.into()))
}

#[test]
fn a_flag_beats_the_environment_which_beats_env_file_which_beats_the_file_which_beats_the_default()
{
    let toml = "\nsettle = \"11m\"\n[worker]\nconcurrency = 11\ngrace = \"11s\"\n[http]\nconnect = \"11s\"\n";
    let place = Place::new()
        .file("racktick.toml", toml)
        .file(
            ".env",
            "RACKTICK_CONCURRENCY=12\nRACKTICK_GRACE='12s'\nRACKTICK_SETTLE=12m\n",
        )
        .env("RACKTICK_CONCURRENCY", "13")
        .env("RACKTICK_GRACE", "13s");
    let shown = shown(&place, &["--set", "worker.concurrency=14"]);
    assert_eq!(
        shown["worker.concurrency"],
        row("14", "flag --set worker.concurrency")
    );
    assert_eq!(
        shown["worker.grace"],
        row("13s", "environment RACKTICK_GRACE")
    );
    assert_eq!(shown["settle"], row("12m", ".env RACKTICK_SETTLE"));
    assert_eq!(shown["http.connect"], row("11s", "racktick.toml:7"));
    assert_eq!(shown["http.total"], row("30s", "default"));
    assert_eq!(shown["maas.url"], (None, None));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let place = Place::new().env("RACKTICK_SETTLE", "").env("MAAS_URL", "");
    let shown = shown(&place, &[]);
    assert_eq!(shown["settle"], row("5m", "default"));
    assert_eq!(shown["maas.url"], (None, None));
}

#[test]
fn a_file_can_be_named_and_must_be_there_then() {
    let place = Place::new()
        .file("racktick.toml", "speed = 2")
        .file("other.toml", "speed = 3");
    assert_eq!(
        shown(&place, &["--config", "other.toml"])["speed"],
        row("3", "other.toml:1")
    );
    let ended = place.run(&["config", "check", "--config", "none.toml"]);
    assert_eq!(ended.code, 78);
    assert!(
        ended.stderr.contains("none.toml cannot be read"),
        "{ended:?}"
    );
    let place = place.env("RACKTICK_CONFIG", "other.toml");
    assert_eq!(shown(&place, &[])["speed"].0.as_deref(), Some("3"));
}

#[test]
fn everything_wrong_is_reported_at_once_with_key_value_place_and_advice() {
    let place = Place::new()
        .file(
            "racktick.toml",
            "sped = 2\n[worker]\nconcurrency = 0\n[policy]\nspread = \"6\"\n",
        )
        .env("RACKTICK_SETTLE", "6")
        .file(".env", "RACKTICK_HTTP_LIST=many\n");
    let ended = place.run(&["config", "check"]);
    assert_eq!(ended.code, 78);
    for wanted in [
        "racktick.toml:1: unknown key `sped`; did you mean `speed`?",
        "worker.concurrency = 0 (racktick.toml:3): write a whole number from 1 on",
        "racktick.toml:5: policy value spread = \"6\": `6` has no unit; write `6s`, `6m` or `6h`",
        "settle = 6 (environment RACKTICK_SETTLE): `6` has no unit",
        "http.list = many (.env RACKTICK_HTTP_LIST): write a number of bytes, such as `256MiB` or `2GB`",
    ] {
        assert!(
            ended.stderr.contains(wanted),
            "{wanted} in {}",
            ended.stderr
        );
    }
}

#[test]
fn a_settle_time_near_the_posts_limit_is_refused() {
    let ended = Place::new()
        .env("RACKTICK_SETTLE", "1m")
        .run(&["config", "check"]);
    assert_eq!(ended.code, 78);
    assert!(
        ended.stderr.contains("write at least `1m 30s`"),
        "{ended:?}"
    );
}

#[test]
fn a_short_period_in_the_file_is_refused_until_the_limit_is_lowered() {
    let place = Place::new().file("racktick.toml", "[racks.r1]\nevery = \"6m\"\n");
    let ended = place.run(&["config", "check"]);
    assert_eq!(ended.code, 78);
    assert!(
        ended
            .stderr
            .contains("racktick.toml:1: rack r1: the schedule ticks every 6m"),
        "{ended:?}"
    );
    assert_eq!(
        place
            .env("RACKTICK_MIN_EVERY", "1m")
            .run(&["config", "check"])
            .code,
        0
    );
}

#[test]
fn a_mistyped_variable_is_pointed_out() {
    let ended = Place::new()
        .env("RACKTICK_CONCURENCY", "3")
        .run(&["config", "check"]);
    assert_eq!(ended.code, 0);
    assert!(
        ended.stderr.contains("did you mean RACKTICK_CONCURRENCY?"),
        "{ended:?}"
    );
}

#[test]
fn secrets_come_from_files_too_and_are_never_shown() {
    const SECRET: &str = "hunter2";
    let place = Place::new()
        .file("key", &format!("aaaa:bbbb:{SECRET}\n"))
        .file(
            "racktick.toml",
            &format!("[nats]\npassword = \"{SECRET}\"\nurl = \"nats://me:{SECRET}@host\"\n"),
        )
        .file(
            ".env",
            &format!("TESTFLINGER_SECRET_KEY={SECRET}\nTESTFLINGER_CLIENT_ID=racktick\n"),
        )
        .env("MAAS_API_KEY_FILE", "key");
    let shown = shown(&place, &[]);
    assert_eq!(
        shown["maas.api_key"],
        row("********", "environment MAAS_API_KEY_FILE")
    );
    assert_eq!(
        shown["testflinger.secret_key"],
        row("********", ".env TESTFLINGER_SECRET_KEY")
    );
    assert_eq!(shown["nats.url"].0.as_deref(), Some("nats://***@host"));
    for arguments in [
        &["config", "show"][..],
        &["config", "check"],
        &["config", "show", "--output", "json"],
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(!format!("{ended:?}").contains(SECRET), "{ended:?}");
    }
}

#[test]
fn a_wrong_line_never_shows_what_may_be_a_secret() {
    let seed = format!("SU{}", "A".repeat(56));
    for (place, wanted) in [
        (
            Place::new().file(".env", "MAAS_API_KEY=a b \"hunter2\n"),
            "the line of `MAAS_API_KEY`",
        ),
        (
            Place::new().file("racktick.toml", "[maas]\napi_key = \"hunter2\n"),
            "racktick.toml:2: this is not TOML",
        ),
        (
            Place::new().file("racktick.toml", "[maas]\napi_key = { x = \"hunter2\" }\n"),
            "`maas.api_key` is one value",
        ),
        (
            Place::new().env("NATS_NKEY", &seed),
            "this is the seed itself",
        ),
        (
            Place::new()
                .env("MAAS_API_KEY", "hunter2")
                .env("MAAS_API_KEY_FILE", "x"),
            "MAAS_API_KEY and MAAS_API_KEY_FILE are both set",
        ),
        (
            Place::new().env("MAAS_API_KEY_FILE", "nowhere"),
            "the file that MAAS_API_KEY_FILE names",
        ),
    ] {
        let ended = place.run(&["config", "check"]);
        assert_eq!(ended.code, 78, "{ended:?}");
        assert!(ended.stderr.contains(wanted), "{ended:?}");
        assert!(
            !ended.stderr.contains("hunter2") && !ended.stderr.contains(&seed),
            "{ended:?}"
        );
    }
    let ended = Place::new().run(&["config", "check", "--set", "maas.api_key=hunter2"]);
    assert_eq!(ended.code, 78);
    assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
}

#[test]
fn a_nats_context_fills_in_what_is_set_nowhere_else() {
    let lab = r#"{"description": "", "url": "nats://ctx:1", "creds": "/ctx.creds", "user": "", "nsc": ""}"#;
    let place = || {
        let place = Place::new().file("config/nats/context/lab.json", lab);
        let path = place.path().join("config");
        place.env("XDG_CONFIG_HOME", path.display())
    };
    let named = shown(
        &place()
            .env("NATS_CONTEXT", "lab")
            .env("NATS_CREDS", "/mine.creds"),
        &[],
    );
    assert_eq!(named["nats.url"], row("nats://ctx:1", "NATS context lab"));
    assert_eq!(
        named["nats.creds"],
        row("/mine.creds", "environment NATS_CREDS")
    );

    let selected = || place().file("config/nats/context.txt", "lab\n");
    assert_eq!(
        shown(&selected(), &[])["nats.url"],
        row("nats://ctx:1", "NATS context lab")
    );
    let whole = r#"{"url": "tls://h", "nkey": "/k.nk", "ca": "/ca.pem", "cert": "/c.pem", "key": "/c-key.pem",
        "inbox_prefix": "_INBOX_operator"}"#;
    let place_of_whole = place()
        .file("config/nats/context/whole.json", whole)
        .env("NATS_CONTEXT", "whole");
    let from_whole = shown(&place_of_whole, &[]);
    for (name, value) in [
        ("nats.nkey", "/k.nk"),
        ("nats.ca", "/ca.pem"),
        ("nats.cert", "/c.pem"),
        ("nats.key", "/c-key.pem"),
        ("nats.inbox_prefix", "_INBOX_operator"),
    ] {
        assert_eq!(from_whole[name], row(value, "NATS context whole"), "{name}");
    }
    // Its credentials never go to an address that came from elsewhere.
    let elsewhere = shown(&selected().env("NATS_URL", "nats://elsewhere"), &[]);
    assert_eq!(elsewhere["nats.creds"], (None, None));

    let ended = place()
        .env("NATS_CONTEXT", "none")
        .run(&["config", "check"]);
    assert_eq!(ended.code, 78);
    assert!(ended.stderr.contains("NATS context none"), "{ended:?}");
    let odd = place()
        .file(
            "config/nats/context/odd.json",
            r#"{"url": "nats://h", "nsc": "nsc://o"}"#,
        )
        .env("NATS_CONTEXT", "odd")
        .run(&["config", "check"]);
    assert!(odd.stderr.contains("it uses `nsc`"), "{odd:?}");
}

#[test]
fn the_example_file_names_every_key_and_its_values_are_the_defaults() {
    let place = Place::new().file("racktick.toml", EXAMPLE);
    let (defaults, example) = (shown(&Place::new(), &[]), shown(&place, &[]));
    let names: Vec<_> = defaults.keys().collect();
    assert_eq!(names, example.keys().collect::<Vec<_>>());
    for (name, (value, source)) in &example {
        assert_eq!(value, &defaults[name].0, "{name}");
        match value {
            Some(_) => assert!(
                source.as_deref().unwrap().starts_with("racktick.toml:"),
                "{name} is missing"
            ),
            None => {
                let key = name.rsplit('.').next().unwrap();
                let is_named = [format!("\n#{key} = "), format!("\n#{key}_file = ")]
                    .iter()
                    .any(|line| EXAMPLE.contains(line));
                assert!(is_named, "{name} is missing");
            }
        }
    }
}

#[test]
fn the_example_files_commented_settings_are_right_too() {
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        let is_setting = line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
        text.push_str(if is_setting { &line[1..] } else { line });
        text.push('\n');
    }
    let place = Place::new();
    let path = place.path().display().to_string();
    for directory in ["/etc/racktick", "/run/secrets"] {
        text = text.replace(directory, &path);
    }
    let place = [
        "nats_password",
        "nats_token",
        "maas_api_key",
        "testflinger_secret_key",
    ]
    .into_iter()
    .fold(place, |place, name| place.file(name, "x:y:z"))
    .file("config/nats/context/lab.json", "{}")
    .file("racktick.toml", &text)
    .env("XDG_CONFIG_HOME", format!("{path}/config"));
    let shown = shown(&place, &[]);
    assert!(
        shown.values().all(|(value, _)| value.is_some()),
        "{shown:?}"
    );
    assert!(
        shown["racks.r8"]
            .0
            .as_deref()
            .unwrap()
            .contains("30 6 * * 1-5")
    );
}

#[test]
fn the_example_file_names_every_variable() {
    let ended = Place::new().run(&["config", "show", "--output", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
    for variable in rows.iter().filter_map(|row| row["variable"].as_str()) {
        assert!(EXAMPLE.contains(variable), "{variable}");
    }
}

#[test]
fn a_history_that_keeps_next_to_nothing_is_refused() {
    for (keep, code) in [("1d", 0), ("23h", 78), ("0s", 78)] {
        let place = Place::new().env("RACKTICK_DASHBOARD_KEEP", keep);
        let ended = place.run(&["config", "check"]).with_code(code);
        let says = ended.stderr;
        assert_eq!(
            says.contains(&format!("dashboard.keep = {keep}")),
            code == 78,
            "{says}"
        );
    }
}

#[test]
fn a_proxy_that_signs_people_in_is_whole_or_says_what_lacks() {
    let check = |toml: &str| {
        let place = Place::new().file("racktick.toml", &format!("[dashboard]\n{toml}"));
        let ended = place.run(&["config", "check"]);
        (ended.code, ended.stderr)
    };
    let header = "proxy_header = \"X-Forwarded-User\"\n";
    let trusted = "proxy_trusted = [\"127.0.0.1/32\", \"::1\"]\n";
    let role = "proxy_role_header = \"X-Forwarded-Role\"\n";
    let hosts = "hosts = [\"racks.example\"]\n";
    for good in [&[header, trusted][..], &[header, trusted, role, hosts]] {
        let (code, says) = check(&good.concat());
        assert_eq!(code, 0, "{good:?}: {says}");
    }
    for (toml, wanted) in [
        (header.to_owned(), "set `dashboard.proxy_trusted`, too"),
        (trusted.to_owned(), "set `dashboard.proxy_header`, too"),
        (role.to_owned(), "set `dashboard.proxy_header`, too"),
        (
            format!("{trusted}proxy_header = \"X Forwarded\""),
            "`X Forwarded` is no name of a header",
        ),
        (
            format!("{header}proxy_trusted = \"127.0.0.1/33\""),
            "`127.0.0.1/33` is no address or network",
        ),
    ] {
        let (code, says) = check(&toml);
        assert_eq!(code, 78, "{toml}");
        assert!(says.contains(wanted), "{toml}: {says}");
    }
}
