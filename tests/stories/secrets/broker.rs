//! A broker that refuses who we say that we are.

use bus::access;
use testkit::Broker;
use tests::System;

use super::{MARK, Said};

/// A broker that lets nobody in without a key.
async fn closed() -> Broker {
    let folder = tempfile::tempdir().unwrap();
    let users = access::make(&folder.path().join("keys"), &[])
        .unwrap()
        .authorization;
    let text = std::fs::read_to_string(&users).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("no_auth_user"));
    std::fs::write(&users, lines.collect::<Vec<_>>().join("\n")).unwrap();
    Broker::start_in(folder, "include \"keys/server/authorization.conf\"").await
}

#[tokio::test]
async fn a_broker_that_refuses_our_secrets_is_told_of_without_them() {
    let refusing = closed().await;
    let address = refusing.url().replace("nats://", "");
    let folder = tempfile::tempdir().unwrap();
    access::make(folder.path(), &[]).unwrap();
    let key = folder.path().join("operator/operator.nk");
    let text = std::fs::read_to_string(&key).unwrap();
    let seed = text.lines().find(|line| line.starts_with("SU")).unwrap();
    let jwt = format!("eyJ0eXAiOiJKV1QifQ.{MARK}.signature");
    let creds = folder.path().join("user.creds");
    let parts = [("USER JWT", jwt.as_str()), ("USER NKEY SEED", seed)];
    let parts = parts.map(|(what, text)| match what {
        "USER JWT" => format!("-----BEGIN NATS {what}-----\n{text}\n------END NATS {what}------\n"),
        _ => format!("-----BEGIN {what}-----\n{text}\n------END {what}------\n"),
    });
    std::fs::write(&creds, parts.concat()).unwrap();

    let (key, creds) = (key.display().to_string(), creds.display().to_string());
    let with = format!("nats://me:{MARK}@{address}");
    let token = format!("nats://{MARK}@{address}");
    let plain = refusing.url();
    let lab = ["--racks", "1", "--machines", "1"];
    let mut system = System::start(&lab).await;
    system.set("RACKTICK_LOG", "trace");
    let mut said = Said::default();
    for (what, url, variables) in [
        ("a password in the address", &with, &[][..]),
        ("a token in the address", &token, &[]),
        (
            "a password",
            &plain,
            &[("NATS_USER", "me"), ("NATS_PASSWORD", MARK)],
        ),
        ("a token", &plain, &[("NATS_TOKEN", MARK)]),
        ("a key", &plain, &[("NATS_NKEY", key.as_str())]),
        ("credentials", &plain, &[("NATS_CREDS", creds.as_str())]),
    ] {
        for name in [
            "NATS_USER",
            "NATS_PASSWORD",
            "NATS_TOKEN",
            "NATS_NKEY",
            "NATS_CREDS",
        ] {
            let value = variables.iter().find(|(of, _)| *of == name);
            system.set(name, value.map_or("", |(_, value)| value));
        }
        system.set("NATS_URL", url);
        for command in [&["doctor"][..], &["status"], &["worker"]] {
            let all = said.by(&system, what, command).await;
            let refused = all.to_lowercase();
            assert!(
                refused.contains("authoriz") || refused.contains("refuse"),
                "{what}: {all}"
            );
        }
    }
    said.assert_without(&[MARK, seed, &jwt]);
}
