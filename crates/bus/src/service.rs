//! Who is there: every role answers what the NATS services protocol asks (`$SRV.PING`, `INFO` and `STATS`; ADR-32 of the
//! NATS architecture), so that `nats micro ls` and `nats micro stats` show it, and asks the others.
//!
//! The client library has this, too, for services that take requests: each of its endpoints subscribes to a subject and
//! counts what comes there. racktick's roles take their work from streams, and it is that which they count.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Message;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::connect::Bus;
use crate::denied::Inbox;
use crate::error::BusError;

/// How all subjects of the protocol begin.
const SUBJECTS: &str = "$SRV.>";

/// How the inbox of whoever asks who is there must begin: nobody is answered elsewhere.
pub const INBOX: &str = "_INBOX";

/// The question that is answered with everything but what is asked for.
const STATS: &str = "$SRV.STATS";

/// A service as it announces itself.
#[derive(Debug, Clone)]
pub struct Service {
    /// The kind of service: letters, digits, `-` and `_`.
    pub name: &'static str,
    /// Its version: three numbers with dots between.
    pub version: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// What else there is to know, such as its host.
    pub metadata: BTreeMap<String, String>,
}

/// One kind of work of a service, and how much of it was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Which.
    pub name: &'static str,
    /// Where it comes from.
    pub subject: &'static str,
    /// Who shares it.
    pub queue_group: &'static str,
    /// How often it was done.
    #[serde(rename = "num_requests")]
    pub done: u64,
    /// How often it did not succeed.
    #[serde(rename = "num_errors")]
    pub failed: u64,
    /// What became of the last one that did not; empty when none failed.
    #[serde(rename = "last_error")]
    pub last_failure: &'static str,
    /// How long all of it took, in nanoseconds.
    #[serde(rename = "processing_time")]
    pub took: u64,
    /// How long one took on average, in nanoseconds.
    #[serde(rename = "average_processing_time")]
    pub on_average: u64,
}

/// A service that answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Alive {
    /// The kind of service.
    pub name: String,
    /// Which of its kind; chosen anew by every process.
    pub id: String,
    /// Its version.
    pub version: String,
    /// What else it says of itself.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// When it began.
    pub started: Timestamp,
}

/// Answers until it is dropped.
#[derive(Debug)]
#[must_use = "the answers end with it"]
pub struct Announced(JoinHandle<()>);

impl Drop for Announced {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is asked of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Ping,
    Info,
    Stats,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    id: &'a str,
    version: &'static str,
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<Endpoints>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Endpoints {
    Listed(Vec<Listed>),
    Counted(Vec<Endpoint>),
}

/// An endpoint without what it did.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    subject: &'static str,
    queue_group: &'static str,
    metadata: BTreeMap<String, String>,
}

impl Listed {
    fn of(endpoint: Endpoint) -> Self {
        Self {
            name: endpoint.name,
            subject: endpoint.subject,
            queue_group: endpoint.queue_group,
            metadata: BTreeMap::new(),
        }
    }
}

impl Service {
    /// What a message on this subject asks of this service; nothing, when it is for others.
    fn asked(&self, id: &str, subject: &str) -> Option<Question> {
        let mut tokens = subject.strip_prefix("$SRV.")?.split('.');
        let question = match tokens.next()? {
            "PING" => Question::Ping,
            "INFO" => Question::Info,
            "STATS" => Question::Stats,
            _ => return None,
        };
        let is_own = tokens.next().is_none_or(|name| name == self.name)
            && tokens.next().is_none_or(|whose| whose == id)
            && tokens.next().is_none();
        is_own.then_some(question)
    }

    fn answer(
        &self,
        id: &str,
        started: Timestamp,
        question: Question,
        endpoints: Vec<Endpoint>,
    ) -> Vec<u8> {
        let kind = match question {
            Question::Ping => "io.nats.micro.v1.ping_response",
            Question::Info => "io.nats.micro.v1.info_response",
            Question::Stats => "io.nats.micro.v1.stats_response",
        };
        let answer = Answer {
            kind,
            name: self.name,
            id,
            version: self.version,
            metadata: &self.metadata,
            description: (question == Question::Info).then_some(self.description),
            started: (question == Question::Stats).then_some(started),
            endpoints: match question {
                Question::Ping => None,
                Question::Info => {
                    let listed = endpoints.into_iter().map(Listed::of);
                    Some(Endpoints::Listed(listed.collect()))
                }
                Question::Stats => Some(Endpoints::Counted(endpoints)),
            },
        };
        serde_json::to_vec(&answer).expect("texts, numbers and lists can be written")
    }
}

impl Bus {
    /// Announces this process as a service. `endpoints` tells what was done so far. A user that may not do so is told
    /// once, in the log: nothing depends on it.
    ///
    /// # Errors
    /// `Setting` when the connection is closed for good.
    pub async fn announce(
        &self,
        service: Service,
        endpoints: impl Fn() -> Vec<Endpoint> + Send + Sync + 'static,
    ) -> Result<Announced, BusError> {
        let what = format!("announcing {}", service.name);
        let mut watch = self
            .denials
            .watch(Vec::new(), Inbox::Own(SUBJECTS.to_owned()));
        let subscribed = self.client.subscribe(SUBJECTS).await;
        let mut questions = subscribed.map_err(|source| BusError::Setting {
            what: what.clone(),
            source: source.into(),
        })?;
        let client = self.client.clone();
        let (id, started) = (Uuid::new_v4().simple().to_string(), Timestamp::now());
        let answering = async move {
            while let Some(Message { subject, reply, .. }) = questions.next().await {
                let (Some(reply), Some(question)) = (reply, service.asked(&id, &subject)) else {
                    continue;
                };
                // Whoever may ask must not have the answer put anywhere with our rights.
                if !reply.starts_with(INBOX) {
                    continue;
                }
                let answer = service.answer(&id, started, question, endpoints());
                if let Err(error) = client.publish(reply, answer.into()).await {
                    tracing::debug!(%error, "whoever asked who is there was not answered");
                }
            }
        };
        Ok(Announced(tokio::spawn(async move {
            tokio::pin!(answering);
            tokio::select! {
                () = &mut answering => return,
                denial = watch.denied() => {
                    let error = denial.into_error(&what);
                    tracing::warn!(%error, "this process is not shown among the living roles");
                }
            }
            // With the next connection it may be allowed.
            answering.await;
        })))
    }

    /// All services that answer within a time, racktick's or not.
    ///
    /// # Errors
    /// `Denied`, `Disconnected`.
    pub async fn services(&self, within: Duration) -> Result<Vec<Alive>, BusError> {
        let what = "asking who is there";
        let own = self.client.new_inbox();
        let prefix = own.rsplit_once('.').map_or("_INBOX", |(prefix, _)| prefix);
        // Whoever is asked sees it, and cannot guess another from it.
        let inbox = format!("{prefix}.{}", Uuid::new_v4().simple());
        let mut watch = self
            .denials
            .watch(vec![STATS.to_owned()], Inbox::Own(inbox.clone()));
        let lost = |source: async_nats::Error| BusError::Setting {
            what: what.to_owned(),
            source,
        };
        let subscribed = self.client.subscribe(inbox.clone()).await;
        let mut answers = subscribed.map_err(|error| lost(error.into()))?;
        let asked = self
            .client
            .publish_with_reply(STATS, inbox, "".into())
            .await;
        asked.map_err(|error| lost(error.into()))?;
        let until = Instant::now() + within;
        let mut alive = Vec::new();
        loop {
            tokio::select! {
                answer = timeout_at(until, answers.next()) => match answer {
                    // Nobody listens: the server says so at once.
                    Ok(Some(answer)) if answer.status == Some(async_nats::StatusCode::NO_RESPONDERS) => break,
                    Ok(Some(answer)) => alive.extend(serde_json::from_slice::<Alive>(&answer.payload).ok()),
                    Ok(None) | Err(_) => break,
                },
                denial = watch.denied() => return Err(denial.into_error(what)),
            }
        }
        alive.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        alive.dedup_by(|one, other| one.id == other.id);
        Ok(alive)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service() -> Service {
        Service {
            name: "racktick-worker",
            version: "1.2.3",
            description: "Works",
            metadata: BTreeMap::from([("host".into(), "h1".into())]),
        }
    }

    #[test]
    fn a_question_is_for_all_for_a_kind_or_for_one() {
        let service = service();
        let asked = |subject| service.asked("me", subject);
        for own in [
            "$SRV.PING",
            "$SRV.PING.racktick-worker",
            "$SRV.PING.racktick-worker.me",
        ] {
            assert_eq!(asked(own), Some(Question::Ping), "{own}");
        }
        assert_eq!(asked("$SRV.INFO"), Some(Question::Info));
        assert_eq!(asked("$SRV.STATS.racktick-worker"), Some(Question::Stats));
        for foreign in [
            "$SRV.SCHEMA",
            "$SRV.PING.other",
            "$SRV.PING.racktick-worker.you",
            "$SRV.PING.racktick-worker.me.x",
            "PING",
        ] {
            assert_eq!(asked(foreign), None, "{foreign}");
        }
    }

    /// The fields of ADR-32.
    #[test]
    fn answers_have_the_fields_of_the_protocol() {
        let answer = |question| -> Value {
            let endpoint = Endpoint {
                name: "tick",
                subject: "rack.tick",
                queue_group: "tick",
                done: 4,
                failed: 1,
                last_failure: "a task became a dead letter",
                took: 800,
                on_average: 200,
            };
            let bytes = service().answer("me", Timestamp::UNIX_EPOCH, question, vec![endpoint]);
            serde_json::from_slice(&bytes).unwrap()
        };
        let own = json!({
            "name": "racktick-worker", "id": "me", "version": "1.2.3", "metadata": {"host": "h1"},
        });
        let with = |more: Value| {
            let mut all = own.clone();
            let fields = more.as_object().unwrap().clone();
            all.as_object_mut().unwrap().extend(fields);
            all
        };
        assert_eq!(
            answer(Question::Ping),
            with(json!({"type": "io.nats.micro.v1.ping_response"}))
        );
        let listed = json!([{"name": "tick", "subject": "rack.tick", "queue_group": "tick", "metadata": {}}]);
        let endpoints = json!([{
            "name": "tick", "subject": "rack.tick", "queue_group": "tick", "num_requests": 4, "num_errors": 1,
            "last_error": "a task became a dead letter", "processing_time": 800, "average_processing_time": 200,
        }]);
        assert_eq!(
            answer(Question::Info),
            with(json!({
                "type": "io.nats.micro.v1.info_response", "description": "Works", "endpoints": listed,
            }))
        );
        assert_eq!(
            answer(Question::Stats),
            with(json!({
                "type": "io.nats.micro.v1.stats_response", "started": "1970-01-01T00:00:00Z", "endpoints": endpoints,
            }))
        );
    }
}
