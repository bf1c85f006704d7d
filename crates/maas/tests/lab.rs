#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! The client against the pretend MAAS, which keeps MAAS's rules and fails on request.

use std::time::Duration;

use lab::{Fault, FaultKind, Lab, LabConfig, MachineChange};
use maas::{ApiKey, Class, Limits, Maas, MaasError, MaasUrl, Settings};

async fn lab(config: LabConfig) -> Lab {
    testkit::prepare();
    Lab::start_on_free_port(config).await.unwrap()
}

fn maas(lab: &Lab, key: &str) -> Maas {
    let limits = Limits {
        first_byte: Duration::from_secs(1),
        list_bytes: 1 << 20,
        body_bytes: 1 << 20,
        ..Limits::default()
    };
    let url = MaasUrl::parse(&lab.maas_url()).unwrap();
    Maas::new(Settings {
        url,
        key: ApiKey::parse(key).unwrap(),
        limits,
        ca: None,
    })
    .unwrap()
}

#[tokio::test]
async fn a_rack_is_read_as_maas_shows_it() {
    let lab = lab(LabConfig {
        racks: 2,
        machines: 3,
        ..LabConfig::default()
    })
    .await;
    let maas = maas(&lab, &lab.api_key());
    let change = MachineChange {
        status: Some("deployed".into()),
        owner: Some(Some("ann".into())),
        locked: Some(true),
        ..MachineChange::default()
    };
    lab.change_machine("r2-m02", change).unwrap();

    let machines = maas.machines_by_tag("r2").await.unwrap();
    assert_eq!(
        machines
            .iter()
            .map(|m| m.hostname.as_str())
            .collect::<Vec<_>>(),
        ["r2-m01", "r2-m02", "r2-m03"]
    );
    let [free, taken, _] = &machines[..] else {
        panic!("{machines:?}")
    };
    assert_eq!(
        (
            free.status,
            free.status_name.as_str(),
            free.owner.as_deref(),
            free.locked
        ),
        (Some(4), "Ready", None, false)
    );
    assert_eq!(
        (
            taken.status,
            taken.status_name.as_str(),
            taken.owner.as_deref(),
            taken.locked
        ),
        (Some(6), "Deployed", Some("ann"), true)
    );

    assert_eq!(maas.whoami().await.unwrap().name, "lab");
    let version = maas.version().await.unwrap();
    assert!(
        version
            .version
            .starts_with(|first: char| first.is_ascii_digit()),
        "{version:?}"
    );
    let unknown = maas.machines_by_tag("r9").await.unwrap_err();
    assert!(
        matches!(&unknown, MaasError::UnknownTag(tag) if tag == "r9"),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_stays_unseen() {
    let lab = lab(LabConfig::default()).await;
    let (rest, secret) = {
        let key = lab.api_key();
        let (a, b) = key.rsplit_once(':').unwrap();
        (a.to_owned(), b.to_owned())
    };
    let wrong = maas(&lab, &format!("{rest}:{}", "x".repeat(32)));
    for error in [
        wrong.whoami().await.unwrap_err(),
        wrong.machines_by_tag("r1").await.unwrap_err(),
    ] {
        assert!(matches!(error, MaasError::Unauthorized), "{error:?}");
        assert!(!format!("{error} {error:?}").contains(&secret));
    }
    // The version needs no key.
    wrong.version().await.unwrap();
}

#[tokio::test]
async fn every_fault_has_its_cause_and_passes() {
    let lab = lab(LabConfig::default()).await;
    let maas = maas(&lab, &lab.api_key());
    for (kind, class, cause) in [
        (FaultKind::Hang, Class::Transient, "timeout"),
        (FaultKind::HangAfter, Class::Transient, "timeout"),
        (FaultKind::ResetBefore, Class::Transient, "cut"),
        (FaultKind::ResetAfter, Class::Transient, "cut"),
        (FaultKind::Truncate, Class::Transient, "cut"),
        (FaultKind::Malformed, Class::Malformed, "malformed"),
        (FaultKind::Null, Class::Malformed, "malformed"),
        (FaultKind::Html, Class::Malformed, "html"),
        (FaultKind::Endless, Class::Malformed, "too_large"),
        (FaultKind::Status, Class::Transient, "status"),
    ] {
        lab.inject(Fault::new("maas", kind));
        let error = maas.machines_by_tag("r1").await.unwrap_err();
        assert_eq!(
            (error.class(), error.cause()),
            (class, cause),
            "{kind:?}: {error:?}"
        );
        assert_eq!(
            maas.machines_by_tag("r1").await.unwrap().len(),
            8,
            "{kind:?}"
        );
    }
    lab.inject(Fault {
        status: Some(409),
        retry_after: Some(5),
        ..Fault::new("maas", FaultKind::Status)
    });
    let error = maas.machines_by_tag("r1").await.unwrap_err();
    assert_eq!(
        (error.class(), error.retry_after()),
        (Class::Transient, Some(Duration::from_secs(5)))
    );
    lab.inject(Fault {
        status: Some(403),
        ..Fault::new("maas", FaultKind::Status)
    });
    assert!(matches!(
        maas.machines_by_tag("r1").await.unwrap_err(),
        MaasError::Forbidden { .. }
    ));
    lab.inject(Fault {
        status: Some(401),
        ..Fault::new("maas", FaultKind::Status)
    });
    assert!(matches!(
        maas.whoami().await.unwrap_err(),
        MaasError::Unauthorized
    ));
    // That this is no empty rack is for whoever knows how large it was.
    lab.inject(Fault::new("maas", FaultKind::EmptyList));
    assert_eq!(maas.machines_by_tag("r1").await.unwrap(), []);
}
