#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! The client against the pretend Testflinger, which keeps Testflinger's rules and fails on request.

use std::time::Duration;

use lab::{Client, Fault, FaultKind, Lab, LabConfig, Role};
use serde_json::{Map, Value, json};
use testflinger::{
    Cancel, Credentials, JobDocument, Limits, Phase, Presence, Root, Settings, SubmitError,
    Testflinger, TestflingerError,
};

const DEADLINE: Duration = Duration::from_secs(60);

async fn lab(config: LabConfig) -> Lab {
    testkit::prepare();
    Lab::start_on_free_port(config).await.unwrap()
}

/// A lab whose jobs never move on by themselves.
async fn still_lab() -> Lab {
    lab(LabConfig {
        machines: 3,
        instant: Some(u32::MAX),
        ..LabConfig::default()
    })
    .await
}

fn testflinger_as(lab: &Lab, credentials: Option<Credentials>) -> Testflinger {
    let limits = Limits {
        first_byte: Duration::from_secs(1),
        body_bytes: 1 << 20,
        result_bytes: 1 << 20,
        ..Limits::default()
    };
    let server = Root::parse(&lab.testflinger_url()).unwrap();
    Testflinger::new(Settings {
        server,
        credentials,
        limits,
        ca: None,
        secrets: Vec::new(),
    })
    .unwrap()
}

fn anonymous(lab: &Lab) -> Testflinger {
    testflinger_as(lab, None)
}

fn id(number: u32) -> String {
    format!("6d0f2f6a-5c1b-5c0e-9d53-{number:012x}")
}

fn template() -> Map<String, Value> {
    json!({"provision_data": {"distro": "noble"}, "reserve_data": {"timeout": 120}})
        .as_object()
        .unwrap()
        .clone()
}

async fn submit(testflinger: &Testflinger, job_id: &str, queue: &str) -> Result<(), SubmitError> {
    let (template, tags) = (
        template(),
        ["racktick".to_owned(), "racktick-rack:r1".to_owned()],
    );
    let name = "racktick r1";
    testflinger
        .submit(&JobDocument {
            job_id,
            job_queue: queue,
            name,
            tags: &tags,
            template: &template,
        })
        .await
}

#[tokio::test]
async fn agents_are_read_as_testflinger_shows_them() {
    let lab = still_lab().await;
    let testflinger = anonymous(&lab);
    let agents = testflinger.agents().await.unwrap();
    assert_eq!(agents.len(), 6);
    let agent = agents.iter().find(|agent| agent.name == "r1-m01").unwrap();
    assert_eq!(
        (agent.state.as_deref(), agent.location.as_deref()),
        (Some("waiting"), Some("TOR3"))
    );
    assert!(agent.queues.contains("r1-m01"));
    assert!(agent.updated_at.is_some());
    assert_eq!(
        testflinger.agent("r1-m01").await.unwrap().as_ref(),
        Some(agent)
    );
    assert_eq!(testflinger.agent("no such/agent").await.unwrap(), None);
    assert!(testflinger.version().await.unwrap().clock_offset.is_some());
}

#[tokio::test]
async fn a_job_can_be_found_in_every_way_and_cancelled_once() {
    let lab = lab(LabConfig::default()).await;
    let testflinger = anonymous(&lab);
    let job = id(1);
    assert_eq!(testflinger.job(&job).await.unwrap(), Presence::Absent);
    assert_eq!(testflinger.result(&job).await.unwrap(), None);
    assert_eq!(testflinger.position(&job).await.unwrap(), None);
    assert_eq!(testflinger.cancel(&job).await.unwrap(), Cancel::AlreadyOver);
    assert_eq!(testflinger.queue_jobs("nobody").await.unwrap(), []);

    // Nobody serves this queue, so the job waits.
    submit(&testflinger, &job, "nobody").await.unwrap();
    assert_eq!(testflinger.job(&job).await.unwrap(), Presence::There);
    let result = testflinger.result(&job).await.unwrap().unwrap();
    assert_eq!(
        (result.job_state.as_deref(), result.phases.len()),
        (Some("waiting"), 0)
    );
    assert_eq!(testflinger.position(&job).await.unwrap(), Some(0));
    assert_eq!(
        testflinger.queue_jobs("nobody").await.unwrap()[0].job_id,
        job
    );
    assert_eq!(
        testflinger
            .search_by_tags(&["racktick", "racktick-rack:r1"])
            .await
            .unwrap()[0]
            .job_id,
        job
    );
    assert_eq!(
        testflinger
            .search_by_tags(&["racktick", "racktick-rack:r2"])
            .await
            .unwrap(),
        []
    );

    assert_eq!(testflinger.cancel(&job).await.unwrap(), Cancel::Cancelled);
    assert_eq!(testflinger.cancel(&job).await.unwrap(), Cancel::AlreadyOver);
    let result = testflinger.result(&job).await.unwrap().unwrap();
    assert_eq!(result.job_state.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn a_job_runs_to_its_end() {
    let lab = lab(LabConfig {
        racks: 1,
        machines: 1,
        speed: 2000.0,
        log_bytes: 400_000,
        ..LabConfig::default()
    })
    .await;
    let testflinger = anonymous(&lab);
    submit(&testflinger, &id(1), "r1-m01").await.unwrap();
    let ended = tokio::time::timeout(DEADLINE, async {
        loop {
            match testflinger.result(&id(1)).await {
                Ok(Some(result)) if result.job_state.as_deref() == Some("complete") => {
                    return result;
                }
                Ok(Some(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    let result = ended.await.unwrap();
    assert_eq!(result.phases.get(&Phase::Provision), Some(&0));
    assert!(result.device_info.is_some());
}

#[tokio::test]
async fn the_end_of_a_submit_is_never_guessed() {
    #[derive(Debug, PartialEq)]
    enum End {
        Refused,
        NotStored,
        Unknown,
    }
    let lab = still_lab().await;
    let testflinger = anonymous(&lab);
    let status = |status| Fault {
        status: Some(status),
        ..Fault::new("POST /v1/job", FaultKind::Status)
    };
    let kind = |kind| Fault::new("POST /v1/job", kind);
    let cases = [
        (status(400), End::Refused, Presence::Absent),
        (status(422), End::Refused, Presence::Absent),
        (status(401), End::NotStored, Presence::Absent),
        (status(403), End::NotStored, Presence::Absent),
        (status(404), End::NotStored, Presence::Absent),
        (status(429), End::NotStored, Presence::Absent),
        (status(500), End::Unknown, Presence::Absent),
        (status(503), End::Unknown, Presence::Absent),
        (kind(FaultKind::Html), End::Unknown, Presence::Absent),
        (kind(FaultKind::Null), End::Unknown, Presence::Absent),
        (kind(FaultKind::EmptyList), End::Unknown, Presence::Absent),
        (kind(FaultKind::Endless), End::Unknown, Presence::Absent),
        (kind(FaultKind::Hang), End::Unknown, Presence::Absent),
        (kind(FaultKind::ResetBefore), End::Unknown, Presence::Absent),
        (kind(FaultKind::HangAfter), End::Unknown, Presence::There),
        (kind(FaultKind::ResetAfter), End::Unknown, Presence::There),
        (kind(FaultKind::Truncate), End::Unknown, Presence::There),
        (kind(FaultKind::Malformed), End::Unknown, Presence::There),
    ];
    for (number, (fault, want, presence)) in (1..).zip(cases) {
        lab.inject(fault.clone());
        let end = match submit(&testflinger, &id(number), "r1-m01").await {
            Err(SubmitError::Refused { .. }) => End::Refused,
            Err(SubmitError::NotStored(_)) => End::NotStored,
            Err(SubmitError::Unknown(_)) => End::Unknown,
            Ok(()) => panic!("{fault:?} did not strike"),
        };
        assert_eq!(end, want, "{fault:?}");
        assert_eq!(
            testflinger.job(&id(number)).await.unwrap(),
            presence,
            "{fault:?}"
        );
    }
    assert_eq!(lab.stats().jobs_with_same_id, 0);
}

#[tokio::test]
async fn a_document_that_testflinger_does_not_know_is_refused_for_good() {
    let lab = still_lab().await;
    let template = json!({"colour": "green"}).as_object().unwrap().clone();
    let document = JobDocument {
        job_id: &id(1),
        job_queue: "r1-m01",
        name: "n",
        tags: &[],
        template: &template,
    };
    match anonymous(&lab).submit(&document).await {
        Err(SubmitError::Refused {
            status: 422,
            message,
        }) => assert!(message.contains("colour"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_fault_of_a_look_is_an_absence() {
    let lab = still_lab().await;
    let testflinger = anonymous(&lab);
    for kind in [
        FaultKind::Status,
        FaultKind::Hang,
        FaultKind::ResetBefore,
        FaultKind::Truncate,
        FaultKind::Malformed,
        FaultKind::EmptyList,
        FaultKind::Null,
        FaultKind::Html,
        FaultKind::Endless,
    ] {
        submit(&testflinger, &id(1), "r1-m01").await.unwrap();
        lab.inject(Fault::new("/v1/result", kind));
        assert!(testflinger.result(&id(1)).await.is_err(), "{kind:?}");
        lab.inject(Fault {
            method: Some("GET".into()),
            ..Fault::new("/v1/job", kind)
        });
        assert!(testflinger.job(&id(1)).await.is_err(), "{kind:?}");
        lab.inject(Fault::new("/v1/agents", kind));
        assert!(testflinger.agent("r1-m01").await.is_err(), "{kind:?}");
    }
}

#[tokio::test]
async fn restricted_queues_are_for_their_owners() {
    let owner = Client {
        allowed_queues: vec!["r1-m01".into()],
        ..Client::new("owner", "owner's secret", Role::Contributor)
    };
    let lab = lab(LabConfig {
        clients: vec![owner],
        instant: Some(u32::MAX),
        ..LabConfig::default()
    })
    .await;
    let owner = testflinger_as(
        &lab,
        Some(Credentials::new("owner", &"owner's secret".into()).unwrap()),
    );

    let error = submit(&anonymous(&lab), &id(1), "r1-m01")
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SubmitError::NotStored(TestflingerError::Unauthorized { message, .. })
        if message.contains("restricted queue")),
        "{error:?}"
    );
    submit(&owner, &id(1), "r1-m01").await.unwrap();
    assert_eq!(
        owner
            .allowed_queues()
            .await
            .unwrap()
            .into_iter()
            .collect::<Vec<_>>(),
        ["r1-m01"]
    );
    let agent = owner.agent("r1-m01").await.unwrap().unwrap();
    assert!(agent.restricted_to["r1-m01"].contains("owner"));

    let stranger = testflinger_as(
        &lab,
        Some(Credentials::new("owner", &"wrong secret".into()).unwrap()),
    );
    assert!(matches!(
        stranger.agents().await,
        Err(TestflingerError::Credentials)
    ));
}

#[tokio::test]
async fn a_server_that_wants_a_login_takes_a_token() {
    let lab = lab(LabConfig {
        oidc: true,
        ..LabConfig::default()
    })
    .await;
    let error = anonymous(&lab).agents().await.unwrap_err();
    assert!(
        matches!(error, TestflingerError::Unauthorized { .. }),
        "{error:?}"
    );
    let secret = lab.config().client_secret("racktick").unwrap();
    let known = testflinger_as(
        &lab,
        Some(Credentials::new("racktick", &secret.into()).unwrap()),
    );
    assert_eq!(known.agents().await.unwrap().len(), 16);
}
