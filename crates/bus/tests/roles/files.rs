//! The folder of keys, and what a server makes of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bus::access::{AccessError, KeyFile, Role, make};
use bus::{Bus, BusError, Connect, Credentials};
use secrecy::ExposeSecret;
use testkit::{Broker, binary, until, workspace};

fn seed(folder: &Path, role: Role) -> String {
    let file = folder.join(role.name()).join(format!("{role}.nk"));
    let text = fs::read_to_string(file).unwrap();
    KeyFile::parse(&text).unwrap().seed.expose_secret().into()
}

#[test]
fn keys_are_made_once_are_for_their_owner_alone_and_the_servers_file_holds_no_seed() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("keys");
    let made = make(&folder, &[]).unwrap();
    assert_eq!(made.changes.len(), Role::ALL.len() + 2, "{made:?}");
    assert!(made.lets_in);
    let seeds: BTreeSet<String> = Role::ALL.map(|role| seed(&folder, role)).into();
    assert_eq!(seeds.len(), Role::ALL.len());
    let server = ["authorization.conf", "roles.conf"]
        .map(|name| fs::read_to_string(folder.join("server").join(name)).unwrap())
        .join("");
    for role in Role::ALL {
        let home = folder.join(role.name());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&home), 0o700);
        assert_eq!(mode(&home.join(format!("{role}.nk"))), 0o600);
        assert!(!server.contains(&seed(&folder, role)));
    }
    let again = make(&folder, &[]).unwrap();
    assert!(again.changes.is_empty(), "{again:?}");
    let after: BTreeSet<String> = Role::ALL.map(|role| seed(&folder, role)).into();
    assert_eq!(after, seeds);
}

#[test]
fn a_key_is_replaced_only_when_asked_and_one_that_was_moved_away_is_not_missed() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    make(folder, &[]).unwrap();
    let file = folder.join("server/authorization.conf");
    let (before, worker, operator) = (
        fs::read_to_string(&file).unwrap(),
        seed(folder, Role::Worker),
        seed(folder, Role::Operator),
    );
    fs::remove_dir_all(folder.join("scheduler")).unwrap();
    make(folder, &[]).unwrap();
    assert!(!folder.join("scheduler").exists());
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    let made = make(folder, &[Role::Worker]).unwrap();
    assert_eq!(made.changes.len(), 2, "{made:?}");
    assert_ne!(seed(folder, Role::Worker), worker);
    assert_eq!(seed(folder, Role::Operator), operator);
    let different = |(one, other): &(&str, &str)| one != other;
    let after = fs::read_to_string(&file).unwrap();
    let changed: Vec<_> = before
        .lines()
        .zip(after.lines())
        .filter(different)
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].1.contains("$ROLE_WORKER"), "{changed:?}");
}

#[test]
fn what_is_not_what_it_should_be_is_named_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    make(folder, &[]).unwrap();
    let key = folder.join("worker/worker.nk");
    let (worker, operator) = (
        fs::read_to_string(&key).unwrap(),
        fs::read_to_string(folder.join("operator/operator.nk")).unwrap(),
    );
    fs::write(&key, operator).unwrap();
    let error = make(folder, &[]).unwrap_err();
    assert!(
        matches!(
            error,
            AccessError::Another {
                role: Role::Worker,
                ..
            }
        ),
        "{error}"
    );
    fs::write(&key, "hello").unwrap();
    let error = make(folder, &[]).unwrap_err();
    assert!(
        error.to_string().contains("worker.nk holds no seed"),
        "{error}"
    );
    fs::write(&key, worker).unwrap();
    let file = folder.join("server/authorization.conf");
    fs::write(&file, "authorization { token: x }").unwrap();
    let error = make(folder, &[]).unwrap_err();
    assert!(matches!(error, AccessError::Foreign { .. }), "{error}");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "authorization { token: x }"
    );
}

#[tokio::test]
async fn the_shipped_configuration_is_valid_once_there_are_keys() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("cluster")).unwrap();
    let secure = ["secure.conf", "cluster/secure.conf"];
    for name in ["server.conf", "cluster/server.conf"].iter().chain(&secure) {
        fs::copy(workspace().join("nats").join(name), place.path().join(name)).unwrap();
    }
    let program = binary().await;
    let valid = |file: &str| {
        let mut check = Command::new(program.path());
        check.current_dir(place.path()).args(["-t", "-c", file]);
        check.output().unwrap()
    };
    for file in secure {
        assert!(!valid(file).status.success(), "there are no keys");
    }
    make(&place.path().join("keys"), &[]).unwrap();
    for file in secure {
        let output = valid(file);
        assert!(output.status.success(), "{file}: {output:?}");
    }
}

#[tokio::test]
async fn the_deleted_line_lets_nobody_in_without_a_key_and_a_key_that_was_replaced_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let keys = place.path().join("keys");
    make(&keys, &[]).unwrap();
    let old = seed(&keys, Role::Worker);
    make(&keys, &[Role::Worker]).unwrap();
    let file = keys.join("server/authorization.conf");
    let text = fs::read_to_string(&file).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("no_auth_user"));
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    assert!(!make(&keys, &[]).unwrap().lets_in);
    let broker = Broker::start_in(place, "include \"keys/server/authorization.conf\"").await;
    broker.bus_as(Role::Worker).await;
    for credentials in [None, Some(Credentials::Nkey(old.into()))] {
        let connect = Connect {
            credentials,
            ..Connect::to(broker.url(), "test")
        };
        let error = Bus::connect(&connect).await.unwrap_err();
        assert!(matches!(error, BusError::Unauthorized { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_key_is_replaced_while_the_server_runs() {
    let broker = Broker::start_with_roles().await;
    let old = broker.connect_as(Role::Worker);
    let old = Connect {
        wait: Duration::ZERO,
        ..old
    };
    Bus::connect(&old).await.unwrap();
    make(&broker.folder().join("keys"), &[Role::Worker]).unwrap();
    broker.reload().await;
    let soon = Duration::from_secs(30);
    until(soon, "the old key is refused", async || {
        let refused = Bus::connect(&old).await;
        matches!(refused, Err(BusError::Unauthorized { .. }))
    })
    .await;
    broker.bus_as(Role::Worker).await;
    broker.bus_as(Role::Operator).await;
}
