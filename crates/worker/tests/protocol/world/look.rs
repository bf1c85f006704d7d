//! The looks that wait in the broker, and what an agent tells Testflinger.

use std::time::Duration;

use model::machine::Claim;
use model::name::MachineName;
use model::subject::{Subject, stream};
use model::task::{Submit, Task, Watch};
use serde_json::{Value, json};
use testkit::until;

use super::{Letter, Rack};

/// How long a test waits for something that has to come.
const WATCHED: Duration = Duration::from_secs(10);

/// The lab's client that may speak as an agent.
const AGENT: &str = "lab-agent";

/// Looks at one job that no test needs more of.
const MOST: usize = 12;

impl Rack {
    /// The look that is held back for a job, if one is.
    pub(crate) async fn waiting_look(&self, task: &Submit) -> Option<Watch> {
        let subject = Subject::WaitWatch(task.job).to_string();
        let stored = self.bus.last_on(stream::TASK, &subject).await.unwrap()?;
        Some(Watch::parse(&stored.body).unwrap())
    }

    /// Takes the look that is held back, or has become due, out of the broker: it fires.
    pub(crate) async fn fire(&self, task: &Submit) -> Option<Letter<Watch>> {
        let due = Subject::Watch {
            rack: task.rack.clone(),
            machine: task.machine.clone(),
        };
        for subject in [Subject::WaitWatch(task.job), due] {
            let found = self.bus.last_on(stream::TASK, &subject.to_string()).await;
            if let Some(stored) = found.unwrap() {
                // One that is gone by now became due, or a first request to delete it was answered too late.
                let deleted = self.bus.delete(stream::TASK, stored.sequence).await;
                deleted.unwrap();
                return Some(Letter::watch(&Watch::parse(&stored.body).unwrap()));
            }
        }
        None
    }

    /// Waits until the look that was held back has become due.
    pub(crate) async fn until_due(&self, task: &Submit) {
        let subject = Subject::Watch {
            rack: task.rack.clone(),
            machine: task.machine.clone(),
        };
        let subject = subject.to_string();
        until(WATCHED, "the look is due", async || {
            let due = self.bus.last_on(stream::TASK, &subject).await.unwrap();
            due.is_some()
        })
        .await;
    }

    /// Fires the look that waits, and delivers it.
    pub(crate) async fn look(&self, task: &Submit) {
        let look = self.fire(task).await.expect("a look waits");
        assert_eq!(self.deliver_watch(&look).await, Ok(1));
    }

    /// Fires look after look until none waits any more.
    pub(crate) async fn follow(&self, task: &Submit) {
        for _ in 0..MOST {
            match self.fire(task).await {
                Some(look) => self.deliver_watch(&look).await.map(drop).unwrap(),
                None => return,
            }
        }
        panic!("the job of {} never ends", task.machine);
    }

    /// Brings a job into Testflinger.
    pub(crate) async fn run(&self, task: &Submit) {
        self.deliver_submit(&Letter::submit(task)).await.unwrap();
        let claim = self.machine(&task.machine).await.claim;
        assert!(matches!(claim, Claim::Running(_)), "{claim:?}");
    }

    /// Whether the machine is the job's.
    pub(crate) async fn is_claimed(&self, task: &Submit) -> bool {
        self.machine(&task.machine).await.claim.job() == Some(task.job)
    }

    /// What the agent reports of a job: its state, and the statuses of its phases.
    pub(crate) async fn report(&self, task: &Submit, state: &str, status: Value) {
        let body = json!({"job_state": state, "status": status});
        self.tell(&format!("v1/result/{}", task.job), &body).await;
    }

    /// What a phase of a job writes.
    pub(crate) async fn writes(&self, task: &Submit, kind: &str, phase: &str, log: &str) {
        let body = json!({
            "fragment_number": 0, "timestamp": "2026-11-21T06:00:00Z", "phase": phase, "log_data": log,
        });
        self.tell(&format!("v1/result/{}/log/{kind}", task.job), &body)
            .await;
    }

    /// What the agent says that it works on; nothing is an empty text.
    pub(crate) async fn works_on(&self, machine: &MachineName, job: &str) {
        let state = if job.is_empty() {
            "waiting"
        } else {
            "provision"
        };
        let body = json!({"job_id": job, "state": state});
        self.tell(&format!("v1/agents/data/{machine}"), &body).await;
    }

    /// The agent was killed at work and has started again: its record still names the job.
    pub(crate) async fn starts_again(&self, machine: &MachineName) {
        let body = json!({"state": "waiting"});
        self.tell(&format!("v1/agents/data/{machine}"), &body).await;
    }

    async fn tell(&self, path: &str, body: &Value) {
        let (url, client) = (self.lab.url(), reqwest::Client::new());
        let secret = self.lab.config().client_secret(AGENT);
        let login = client
            .post(format!("{url}/v1/oauth2/token"))
            .basic_auth(AGENT, secret);
        let token: Value = login.send().await.unwrap().json().await.unwrap();
        let request = client
            .post(format!("{url}/{path}"))
            .bearer_auth(token["access_token"].as_str().unwrap());
        assert_eq!(request.json(body).send().await.unwrap().status(), 200);
    }
}

/// Statuses of phases, for [`Rack::report`].
pub(crate) fn phases<const N: usize>(statuses: [(&str, i64); N]) -> Value {
    statuses
        .into_iter()
        .map(|(phase, status)| (phase.to_owned(), json!(status)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
