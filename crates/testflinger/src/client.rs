use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use rest::header::AUTHORIZATION;
use rest::{Answer, BuildError, Deadline, Http, Limits, RequestBuilder, Root};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::TestflingerError;
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
    /// Secrets of others that must not be kept of what a machine wrote: it may print what it was given.
    pub secrets: Vec<SecretString>,
}

/// The Testflinger client. Clones share its connections and its access token.
#[derive(Clone)]
pub struct Testflinger {
    pub(crate) http: Http,
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
pub(crate) enum Failure {
    Token(TestflingerError),
    Http(rest::Error),
}

impl Testflinger {
    /// Makes a client. Opens no connection.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let credentials = settings.credentials.iter();
        let own: Vec<_> = credentials.flat_map(Credentials::secrets).collect();
        let all = [settings.secrets, own.clone()].concat();
        let http = Http::new(rest::Settings {
            root: settings.server,
            limits: settings.limits,
            ca: settings.ca,
            secrets: own,
        })?
        .without_in_logs(&all);
        Ok(Self {
            http,
            tokens: settings
                .credentials
                .map(|credentials| Arc::new(Tokens::new(credentials))),
        })
    }

    /// The same client, whose calls somebody sees.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn rest::Observer>) -> Self {
        Self {
            http: self.http.observed(observer),
            ..self
        }
    }

    /// Which server this is, and that it can be reached. Needs no rights.
    pub async fn version(&self) -> Result<Version, TestflingerError> {
        const DOING: &str = "read the version";
        let deadline = Deadline::after(self.http.limits().total);
        let sent = self
            .http
            .send("version", self.http.get(&["v1"]), deadline)
            .await;
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

    pub(crate) async fn get(
        &self,
        doing: &'static str,
        endpoint: &'static str,
        segments: &[&str],
    ) -> Result<Answer, TestflingerError> {
        self.call(endpoint, self.http.get(segments))
            .await
            .map_err(|failure| self.failed(doing, failure))
    }

    /// Sends a request as whoever we are. A 401 is answered with another token, once: the server refuses before it
    /// does anything, so this is no second request to it.
    pub(crate) async fn call(
        &self,
        endpoint: &'static str,
        request: RequestBuilder,
    ) -> Result<Answer, Failure> {
        let deadline = Deadline::after(self.http.limits().total);
        let Some(tokens) = &self.tokens else {
            return self
                .http
                .send(endpoint, request, deadline)
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
            .send(endpoint, request, deadline)
            .await
            .map_err(Failure::Http)?;
        match again {
            Some(again) if answer.status() == 401 => {
                let token = tokens
                    .get(&self.http, Some(&token), deadline)
                    .await
                    .map_err(Failure::Token)?;
                let again = again.header(AUTHORIZATION, token.header.clone());
                self.http
                    .send(endpoint, again, deadline)
                    .await
                    .map_err(Failure::Http)
            }
            _ => Ok(answer),
        }
    }

    /// Reads the body of a 200; everything else is an error.
    pub(crate) async fn read<T>(
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

    pub(crate) fn failed(&self, doing: &'static str, failure: Failure) -> TestflingerError {
        match failure {
            Failure::Token(error) => error,
            Failure::Http(error) => self.error(doing, error),
        }
    }

    pub(crate) fn error(&self, doing: &'static str, error: rest::Error) -> TestflingerError {
        TestflingerError::new(&self.http, doing, error)
    }
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
