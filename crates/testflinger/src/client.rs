use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use rest::header::AUTHORIZATION;
use rest::{Answer, BuildError, Deadline, Http, Limits, List, Object, RequestBuilder, Root};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::agent::{self, Agent};
use crate::document::JobDocument;
use crate::error::TestflingerError;
use crate::job::{self, Cancel, IdentityObject, JobResult, JobSummary, Presence};
use crate::submit::SubmitError;
use crate::token::{Credentials, Tokens};

/// How to reach Testflinger.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is.
    pub server: Root,
    /// Who we are to it; anonymous without.
    pub credentials: Option<Credentials>,
    /// Time limits and sizes.
    pub limits: Limits,
    /// Further certificate authorities to trust, as PEM text.
    pub ca: Option<Vec<u8>>,
}

/// The Testflinger client. Clones share its connections and its access token.
#[derive(Clone)]
pub struct Testflinger {
    http: Http,
    tokens: Option<Arc<Tokens>>,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// For instance `Testflinger Server v1.5.0`.
    pub version: String,
    /// How far its clock is ahead of ours, to a second or so.
    #[serde(default)]
    pub clock_offset: Option<SignedDuration>,
}

/// A call that could not be finished: before the request left, or at some point after.
enum Failure {
    Token(TestflingerError),
    Http(rest::Error),
}

impl Testflinger {
    /// Makes a client. Opens no connection.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let secrets = settings
            .credentials
            .as_ref()
            .map(Credentials::secrets)
            .unwrap_or_default();
        let http = Http::new(rest::Settings {
            root: settings.server,
            limits: settings.limits,
            ca: settings.ca,
            secrets,
        })?;
        Ok(Self {
            http,
            tokens: settings
                .credentials
                .map(|credentials| Arc::new(Tokens::new(credentials))),
        })
    }

    /// All agents.
    pub async fn agents(&self) -> Result<Vec<Agent>, TestflingerError> {
        const DOING: &str = "read the agents";
        let answer = self.get(DOING, &["v1", "agents", "data"]).await?;
        let List(written): List<Object<agent::Written>> = self
            .read(DOING, answer, self.http.limits().list_bytes)
            .await?;
        let agents: Result<Vec<Agent>, rest::Error> = written
            .into_iter()
            .map(|Object(written)| written.agent(&self.http))
            .collect();
        agents.map_err(|error| self.error(DOING, error))
    }

    /// One agent; none if the server does not know it.
    pub async fn agent(&self, name: &str) -> Result<Option<Agent>, TestflingerError> {
        const DOING: &str = "read the agent";
        if matches!(name, "" | "." | "..") {
            // No path can hold such a name: it would ask for something else.
            return Ok(None);
        }
        let answer = self.get(DOING, &["v1", "agents", "data", name]).await?;
        if answer.status() == 404 {
            let error = answer.refused().await;
            // Any other 404 is about the address, not about the agent.
            let unknown = error
                .refusal()
                .and_then(rest::Refusal::json)
                .is_some_and(|body| body == serde_json::json!({}));
            return if unknown {
                Ok(None)
            } else {
                Err(self.error(DOING, error))
            };
        }
        let Object(written): Object<agent::Written> = self
            .read(DOING, answer, self.http.limits().body_bytes)
            .await?;
        let agent = written
            .agent(&self.http)
            .map_err(|error| self.error(DOING, error))?;
        if agent.name != name {
            let why = format!("it is about agent `{}`, not about `{name}`", agent.name);
            return Err(self.error(DOING, self.http.malformed(&why)));
        }
        Ok(Some(agent))
    }

    /// Submits a job, once. Everything here, a new access token included, ends within [`Limits::total`].
    pub async fn submit(&self, document: &JobDocument<'_>) -> Result<(), SubmitError> {
        let stored = async {
            let answer = self
                .call(self.http.post(&["v1", "job"]).json(document))
                .await?;
            if answer.status() != 200 {
                return Err(Failure::Http(answer.refused().await));
            }
            let Object(identity): IdentityObject = answer
                .json(self.http.limits().body_bytes)
                .await
                .map_err(Failure::Http)?;
            identity
                .expect(document.job_id, &self.http)
                .map_err(Failure::Http)
        };
        stored.await.map_err(|failure| match failure {
            Failure::Token(error) => SubmitError::NotStored(error),
            Failure::Http(error) => SubmitError::new(&self.http, error),
        })
    }

    /// Whether a job is stored. Absent only for a clean 204, which a job older than seven days gives, too.
    pub async fn job(&self, job_id: &str) -> Result<Presence, TestflingerError> {
        const DOING: &str = "look for the job";
        let answer = self.get(DOING, &["v1", "job", job_id]).await?;
        if answer.status() == 204 {
            answer
                .nothing()
                .await
                .map_err(|error| self.error(DOING, error))?;
            return Ok(Presence::Absent);
        }
        let Object(identity): IdentityObject = self
            .read(DOING, answer, self.http.limits().body_bytes)
            .await?;
        identity
            .expect(job_id, &self.http)
            .map_err(|error| self.error(DOING, error))?;
        Ok(Presence::There)
    }

    /// State and phases of a job; none for a clean 204, as [`Self::job`].
    pub async fn result(&self, job_id: &str) -> Result<Option<JobResult>, TestflingerError> {
        const DOING: &str = "read the result of the job";
        let answer = self.get(DOING, &["v1", "result", job_id]).await?;
        if answer.status() == 204 {
            answer
                .nothing()
                .await
                .map_err(|error| self.error(DOING, error))?;
            return Ok(None);
        }
        let Object(written): Object<job::Written> = self
            .read(DOING, answer, self.http.limits().result_bytes)
            .await?;
        Ok(Some(written.into()))
    }

    /// How many jobs are before this one in its queue; none once it is not waiting any more, or unknown.
    pub async fn position(&self, job_id: &str) -> Result<Option<u64>, TestflingerError> {
        const DOING: &str = "read the position of the job";
        let answer = self.get(DOING, &["v1", "job", job_id, "position"]).await?;
        let position = match answer.status() {
            200 => answer.text().await.and_then(|text| {
                text.trim()
                    .parse()
                    .map(Some)
                    .map_err(|_| self.http.malformed(&format!("`{text}` is no position")))
            }),
            _ => match answer.refused().await {
                error
                    if error
                        .refusal()
                        .is_some_and(|refusal| refusal.status == 410 && !refusal.html) =>
                {
                    Ok(None)
                }
                error => Err(error),
            },
        };
        position.map_err(|error| self.error(DOING, error))
    }

    /// All jobs of a queue, over or not, of the last seven days. An unknown queue has none.
    pub async fn queue_jobs(&self, queue: &str) -> Result<Vec<JobSummary>, TestflingerError> {
        const DOING: &str = "read the jobs of the queue";
        let answer = self.get(DOING, &["v1", "queues", queue, "jobs"]).await?;
        self.jobs(DOING, answer).await
    }

    /// The jobs that bear all of these tags.
    pub async fn search_by_tags(&self, tags: &[&str]) -> Result<Vec<JobSummary>, TestflingerError> {
        const DOING: &str = "search for jobs";
        let query: Vec<_> = tags
            .iter()
            .map(|tag| ("tags", *tag))
            .chain([("match", "all")])
            .collect();
        let request = self.http.get(&["v1", "job", "search"]).query(&query);
        let answer = self
            .call(request)
            .await
            .map_err(|failure| self.failed(DOING, failure))?;
        self.jobs(DOING, answer).await
    }

    /// Asks for the end of a job. That it was taken does not mean that the agent has stopped.
    pub async fn cancel(&self, job_id: &str) -> Result<Cancel, TestflingerError> {
        const DOING: &str = "cancel the job";
        let request = self
            .http
            .post(&["v1", "job", job_id, "action"])
            .json(&serde_json::json!({"action": "cancel"}));
        let answer = self
            .call(request)
            .await
            .map_err(|failure| self.failed(DOING, failure))?;
        let cancel = match answer.status() {
            200 => answer
                .text()
                .await
                .and_then(|text| match text.trim().trim_matches('"') {
                    "OK" => Ok(Cancel::Cancelled),
                    other => Err(self.http.malformed(&format!("`{other}` instead of `OK`"))),
                }),
            _ => match answer.refused().await {
                error if says_over(&error) => Ok(Cancel::AlreadyOver),
                error => Err(error),
            },
        };
        cancel.map_err(|error| self.error(DOING, error))
    }

    /// Which server this is, and that it can be reached. Needs no rights.
    pub async fn version(&self) -> Result<Version, TestflingerError> {
        const DOING: &str = "read the version";
        let deadline = Deadline::after(self.http.limits().total);
        let sent = self.http.send(self.http.get(&["v1"]), deadline).await;
        let answer = sent.map_err(|error| self.error(DOING, error))?;
        let clock_offset = answer.clock_offset();
        let text = match answer.status() {
            200 => answer.text().await,
            _ => Err(answer.refused().await),
        };
        let text = text.map_err(|error| self.error(DOING, error))?;
        let version = self.http.excerpt(&text);
        if !version.starts_with("Testflinger") {
            let why = format!("it says `{version}`, which no Testflinger server does");
            return Err(self.error(DOING, self.http.malformed(&why)));
        }
        Ok(Version {
            version,
            clock_offset,
        })
    }

    /// The restricted queues that our client may submit to; none when anonymous. As fresh as the access token.
    pub async fn allowed_queues(&self) -> Result<BTreeSet<String>, TestflingerError> {
        let Some(tokens) = &self.tokens else {
            return Ok(BTreeSet::new());
        };
        let deadline = Deadline::after(self.http.limits().total);
        Ok(tokens
            .get(&self.http, None, deadline)
            .await?
            .allowed_queues
            .clone())
    }

    async fn get(
        &self,
        doing: &'static str,
        segments: &[&str],
    ) -> Result<Answer, TestflingerError> {
        self.call(self.http.get(segments))
            .await
            .map_err(|failure| self.failed(doing, failure))
    }

    /// Sends a request as whoever we are. A 401 is answered with another token, once: the server refuses before it
    /// does anything, so this is no second request to it.
    async fn call(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let deadline = Deadline::after(self.http.limits().total);
        let Some(tokens) = &self.tokens else {
            return self
                .http
                .send(request, deadline)
                .await
                .map_err(Failure::Http);
        };
        let token = tokens
            .get(&self.http, None, deadline)
            .await
            .map_err(Failure::Token)?;
        let again = request.try_clone();
        let request = request.header(AUTHORIZATION, token.header.clone());
        let answer = self
            .http
            .send(request, deadline)
            .await
            .map_err(Failure::Http)?;
        match again {
            Some(again) if answer.status() == 401 => {
                let token = tokens
                    .get(&self.http, Some(&token), deadline)
                    .await
                    .map_err(Failure::Token)?;
                let again = again.header(AUTHORIZATION, token.header.clone());
                self.http.send(again, deadline).await.map_err(Failure::Http)
            }
            _ => Ok(answer),
        }
    }

    /// Reads the body of a 200; everything else is an error.
    async fn read<T>(
        &self,
        doing: &'static str,
        answer: Answer,
        cap: u64,
    ) -> Result<T, TestflingerError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let read = match answer.status() {
            200 => answer.json(cap).await,
            _ => Err(answer.refused().await),
        };
        read.map_err(|error| self.error(doing, error))
    }

    async fn jobs(
        &self,
        doing: &'static str,
        answer: Answer,
    ) -> Result<Vec<JobSummary>, TestflingerError> {
        if answer.status() == 204 {
            answer
                .nothing()
                .await
                .map_err(|error| self.error(doing, error))?;
            return Ok(Vec::new());
        }
        let List(jobs): List<Object<JobSummary>> = self
            .read(doing, answer, self.http.limits().list_bytes)
            .await?;
        Ok(jobs.into_iter().map(|Object(job)| job).collect())
    }

    fn failed(&self, doing: &'static str, failure: Failure) -> TestflingerError {
        match failure {
            Failure::Token(error) => error,
            Failure::Http(error) => self.error(doing, error),
        }
    }

    fn error(&self, doing: &'static str, error: rest::Error) -> TestflingerError {
        TestflingerError::new(&self.http, doing, error)
    }
}

/// The 400 that a second cancel gets, and the cancel of a job that ended by itself.
fn says_over(error: &rest::Error) -> bool {
    error.refusal().is_some_and(|refusal| {
        refusal.status == 400
            && !refusal.html
            && refusal.excerpt().contains("already completed or cancelled")
    })
}

impl fmt::Debug for Testflinger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.tokens.is_some() {
            "with credentials"
        } else {
            "anonymous"
        };
        write!(f, "Testflinger({}, {who})", self.http.root())
    }
}
