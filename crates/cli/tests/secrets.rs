//! Secrets that are wrong, or in the wrong place: what is said about them shows none of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use program::Place;

/// Stands in every secret.
const MARK: &str = "hunter2Mark";

/// Every place where a secret can be written, by what it needs besides.
fn places() -> Vec<(&'static str, Place)> {
    let mark = |text: &str| text.replace("MARK", MARK);
    let seed = format!("SU{}", "HUNTER2MARK2".repeat(5))
        .split_at(58)
        .0
        .to_owned();
    let key = format!("{MARK}Consumer:{MARK}TokenToken:{MARK}SecretSecret");
    let env = |name: &str, value: &str| Place::new().env(name, mark(value));
    let dot_env = |text: &str| Place::new().file(".env", &mark(text));
    let toml = |text: &str| Place::new().file("racktick.toml", &mark(text));
    let named = |name: &str, text: &str| {
        let place = Place::new().file("secret", &mark(text));
        let path = place.path().join("secret").display().to_string();
        place.env(name, path)
    };
    vec![
        ("a key of two parts", env("MAAS_API_KEY", "a:MARK")),
        ("a key with a blank", env("MAAS_API_KEY", "a:b:MA RK MARK")),
        ("a key in .env", dot_env("MAAS_API_KEY=MARK\n")),
        (
            "a key over two lines",
            dot_env("MAAS_API_KEY=\"a:\nMARK:c\n"),
        ),
        ("a key without its name", dot_env("MARK:MARK:MARK\n")),
        (
            "a key with a name that is none",
            dot_env("maas api key MARK = MARK\n"),
        ),
        (
            "a key in a file of its own",
            named("MAAS_API_KEY_FILE", "a:MARK\n"),
        ),
        (
            "the key as the name of its file",
            env("MAAS_API_KEY_FILE", "a:b:MARK"),
        ),
        (
            "the key as the name, in the file",
            toml("[maas]\napi_key_file = \"MARK\"\n"),
        ),
        ("a key in the file", toml("[maas]\napi_key = \"a:MARK\"\n")),
        ("a key without quotes", toml("[maas]\napi_key = MARK\n")),
        ("a key without an end", toml("[maas]\napi_key = \"MARK\n")),
        (
            "a key as a table",
            toml("[maas]\napi_key = { consumer = \"MARK\" }\n"),
        ),
        (
            "a key twice",
            toml("[maas]\napi_key = \"MARK\"\napi_key = \"MARK\"\n"),
        ),
        ("a key in a list", toml("[maas]\napi_key = [\"MARK\", 1]\n")),
        (
            "a key that is two",
            Place::new()
                .env("MAAS_API_KEY", MARK)
                .env("MAAS_API_KEY_FILE", MARK),
        ),
        ("a key as an address", Place::new().env("MAAS_URL", &key)),
        (
            "a password in an address of MAAS",
            env("MAAS_URL", "http://me:MARK@host/MAAS"),
        ),
        (
            "a password in a bad address of MAAS",
            env("MAAS_URL", "http://me:MARK@host:port/MAAS"),
        ),
        (
            "a password in an address of Testflinger",
            env("TESTFLINGER_SERVER", "http://MARK@h:x"),
        ),
        (
            "a client's secret with a control character",
            env("TESTFLINGER_SECRET_KEY", "MARK\u{1}").env("TESTFLINGER_CLIENT_ID", "c"),
        ),
        (
            "a client's secret without its id",
            env("TESTFLINGER_SECRET_KEY", "MARK"),
        ),
        (
            "a client's secret as the name of its file",
            env("TESTFLINGER_SECRET_KEY_FILE", "MARK"),
        ),
        (
            "a password of the broker",
            env("NATS_URL", "nats://me:MARK@127.0.0.1:1"),
        ),
        (
            "a password of the broker without a port",
            env("NATS_URL", "nats://me:MARK@127.0.0.1:x"),
        ),
        (
            "a password with a comma",
            env("NATS_URL", "nats://me:MARK,MARK@127.0.0.1:1"),
        ),
        (
            "a password with a slash",
            env("NATS_URL", "nats://me:MARK/MARK@127.0.0.1:1"),
        ),
        (
            "a password with a sign",
            env("NATS_URL", "nats://me:MARK?#@MARK@127.0.0.1:1"),
        ),
        (
            "a token of the broker",
            env("NATS_URL", "nats://MARK@127.0.0.1:1,127.0.0.1:1"),
        ),
        (
            "a token by itself",
            env("NATS_TOKEN", "MARK").env("NATS_URL", "nats://127.0.0.1:1"),
        ),
        (
            "a user and a password",
            env("NATS_PASSWORD", "MARK")
                .env("NATS_USER", "me")
                .env("NATS_URL", "nats://127.0.0.1:1"),
        ),
        (
            "a seed instead of its file",
            Place::new().env("NATS_NKEY", &seed),
        ),
        (
            "a file that holds no seed",
            named("NATS_NKEY", "SUMARK").env("NATS_URL", "nats://127.0.0.1:1"),
        ),
        (
            "credentials instead of their file",
            env("NATS_CREDS", "-----BEGIN NATS USER JWT-----\nMARK\n"),
        ),
        (
            "a file that holds no credentials",
            named(
                "NATS_CREDS",
                "-----BEGIN NATS USER JWT-----\nMARK\n------END NATS USER JWT------\n\
                  -----BEGIN USER NKEY SEED-----\nMARK\n------END USER NKEY SEED------\n",
            )
            .env("NATS_URL", "nats://127.0.0.1:1"),
        ),
        (
            "a context",
            Place::new()
                .env("XDG_CONFIG_HOME", ".")
                .env("NATS_CONTEXT", "lab")
                .file(
                    "nats/context/lab.json",
                    &mark("{\"password\": \"MARK\", \"token\": \"MARK\" \"MARK\"}"),
                ),
        ),
        (
            "a context that works",
            Place::new()
                .env("XDG_CONFIG_HOME", ".")
                .env("NATS_CONTEXT", "lab")
                .file(
                    "nats/context/lab.json",
                    &mark("{\"url\": \"nats://me:MARK@127.0.0.1:1\", \"token\": \"MARK\"}"),
                ),
        ),
    ]
}

#[test]
fn a_secret_that_is_wrong_is_not_shown_by_anything_that_is_said_of_it() {
    let commands: [&[&str]; 6] = [
        &["config", "check"],
        &["config", "show"],
        &["config", "show", "--output", "json"],
        &["doctor"],
        &["doctor", "--output", "json"],
        &["rack", "list"],
    ];
    for (what, place) in places() {
        // No wait for a broker that is not there: these addresses have none.
        let place = place.env("RACKTICK_LOG", "trace");
        for command in commands {
            let ended = place.run(command);
            let all = format!("{}{}", ended.stdout, ended.stderr);
            for mark in [MARK, "HUNTER2MARK"] {
                assert!(!all.contains(mark), "{what}: {command:?} shows it: {all}");
            }
            assert!(!all.contains("panicked"), "{what}: {command:?}: {all}");
        }
    }
}

#[test]
fn a_secret_on_the_command_line_is_not_repeated() {
    let place = Place::new();
    for arguments in [
        &["--set", "maas.api_key=hunter2Mark", "config", "check"][..],
        &["--set", "hunter2Mark", "config", "check"],
        &["--set", "maas.api_kee=hunter2Mark", "config", "check"],
        &[
            "--nats-url",
            "nats://me:hunter2Mark@127.0.0.1:1",
            "rack",
            "list",
        ],
    ] {
        let ended = place.run(arguments);
        assert_ne!(ended.code, 0, "{ended:?}");
        assert!(
            !format!("{ended:?}").contains(MARK),
            "{arguments:?}: {ended:?}"
        );
    }
}

#[test]
fn a_file_without_an_end_is_refused_and_not_read_on() {
    for (name, what) in [
        ("RACKTICK_CONFIG", "the configuration file /dev/zero"),
        (
            "MAAS_API_KEY_FILE",
            "the file that MAAS_API_KEY_FILE names, /dev/zero",
        ),
    ] {
        let ended = Place::new()
            .env(name, "/dev/zero")
            .run(&["config", "check"])
            .with_code(78);
        assert!(ended.stderr.contains(what), "{ended:?}");
        assert!(
            ended.stderr.contains("larger than 1048576 bytes"),
            "{ended:?}"
        );
    }
}
