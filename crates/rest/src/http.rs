use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Certificate, RequestBuilder, redirect, retry};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use serde_json::de::SliceRead;
use tokio::time::timeout_at;
use url::Url;

use crate::answer::Answer;
use crate::call::{Call, Observer};
use crate::error::Error;
use crate::excerpt::excerpt;
use crate::hiding;
use crate::limits::{Deadline, Limit, Limits, from_now};
use crate::log;
use crate::root::Root;
use crate::secrets::Secrets;

/// An idle connection is given up after this time. A server that closes it at the very moment we write leaves a POST
/// with an unknown outcome, so ours has to be the shorter patience; within a burst of requests it is reused anyway.
const IDLE: Duration = Duration::from_secs(10);

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's address.
    pub root: Root,
    /// Time limits and sizes.
    pub limits: Limits,
    /// Further certificate authorities to trust, as PEM text.
    pub ca: Option<Vec<u8>>,
    /// Texts that must never appear in a message or, if they have at least 8 bytes, in what is kept of an answer,
    /// whatever the server writes.
    pub secrets: Vec<SecretString>,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The CA file holds no certificate that can be read.
    #[error("the CA file holds no readable certificate; it has to be PEM text")]
    Ca(#[source] Option<reqwest::Error>),
    /// TLS could not be set up.
    #[error("no HTTP client can be made; are CA certificates installed on this system?")]
    Client(#[source] reqwest::Error),
}

/// Sends requests to one server. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Http {
    inner: Arc<Inner>,
    /// Those of which logs are rid, where they are more than this server's.
    in_logs: Option<Arc<Secrets>>,
    observer: Option<Arc<dyn Observer>>,
}

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    root: Root,
    limits: Limits,
    secrets: Secrets,
}

impl Http {
    /// Makes a client. Opens no connection.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("racktick/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.limits.connect)
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false);
        if settings.root.is_loopback() {
            // A proxy from the environment is for the world outside.
            builder = builder.no_proxy();
        }
        if !settings.root.is_https() {
            // Nothing will be verified, so a system without CA certificates is fine.
            builder = builder.tls_certs_only([]);
        } else if let Some(pem) = &settings.ca {
            let certificates =
                Certificate::from_pem_bundle(pem).map_err(|error| BuildError::Ca(Some(error)))?;
            if certificates.is_empty() {
                return Err(BuildError::Ca(None));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder.build().map_err(BuildError::Client)?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                root: settings.root,
                limits: settings.limits,
                secrets: Secrets::new(&settings.secrets),
            }),
            in_logs: None,
            observer: None,
        })
    }

    /// The same client, whose calls somebody sees.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    /// The same client, whose logs are rid of these texts, and not only of this server's secrets. In answers that are read
    /// they stay: a secret of others may be a word of this server's.
    #[must_use]
    pub fn without_in_logs(self, secrets: &[SecretString]) -> Self {
        Self {
            in_logs: Some(Arc::new(Secrets::new(secrets))),
            ..self
        }
    }

    /// The limits of this client.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The server's address.
    pub fn root(&self) -> &Root {
        &self.inner.root
    }

    /// Starts a GET of something below the root; see [`Root::at`].
    pub fn get(&self, segments: &[&str]) -> RequestBuilder {
        self.inner.client.get(self.at(segments))
    }

    /// Starts a POST to something below the root; see [`Root::at`].
    pub fn post(&self, segments: &[&str]) -> RequestBuilder {
        self.inner.client.post(self.at(segments))
    }

    fn at(&self, segments: &[&str]) -> Url {
        self.root().at(segments)
    }

    /// Sends a request, once, and waits for the head of the answer, whatever its status. The deadline holds for the
    /// body, too. A redirect is an error. `endpoint` is a word for what is asked for, the same for all of its kind.
    pub async fn send(
        &self,
        endpoint: &'static str,
        request: RequestBuilder,
        deadline: Deadline,
    ) -> Result<Answer, Error> {
        let mut call = Call::begin(self.observer.clone(), endpoint, self.root());
        let sent = Timestamp::now();
        let response = self.head(request, deadline).await;
        let response = call.ended(response)?;
        call.answered(response.status().as_u16());
        Answer::new(self.clone(), response, call, sent, deadline).unless_redirect()
    }

    async fn head(
        &self,
        request: RequestBuilder,
        deadline: Deadline,
    ) -> Result<reqwest::Response, Error> {
        let first_byte = self.limits().first_byte;
        let mute = from_now(first_byte);
        match timeout_at(mute.min(deadline.at), request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) if mute < deadline.at => Err(Error::Timeout {
                server: self.server(),
                limit: Limit::FirstByte,
                after: first_byte,
            }),
            Err(_) => Err(self.late(deadline)),
        }
    }

    /// The error of a call that is not over at its deadline.
    pub fn late(&self, deadline: Deadline) -> Error {
        Error::Timeout {
            server: self.server(),
            limit: Limit::Total,
            after: deadline.total,
        }
    }

    fn failed(&self, error: reqwest::Error) -> Error {
        // The address may hold a tag or a name, but says nothing that the server's name does not.
        let error = error.without_url();
        let server = self.server();
        if error.is_builder() {
            Error::Request {
                server,
                source: error,
            }
        } else if error.is_connect() && error.is_timeout() {
            Error::Timeout {
                server,
                limit: Limit::Connect,
                after: self.limits().connect,
            }
        } else if error.is_connect() {
            Error::Connect {
                server,
                source: error,
            }
        } else {
            Error::Cut {
                server,
                source: Box::new(error),
            }
        }
    }

    /// An error that says why an answer that was read is of no use. `why` may quote the server: it is cleaned.
    pub fn malformed(&self, why: &str) -> Error {
        Error::Malformed {
            server: self.server(),
            why: self.excerpt(why),
        }
    }

    /// The beginning of what the server said, fit for a message: one printable line without our secrets.
    pub fn excerpt(&self, text: &str) -> String {
        excerpt(text, &self.inner.secrets)
    }

    /// A log of several lines without our secrets, and without what looks like those of others.
    pub fn without_secrets(&self, text: &str) -> String {
        log::hidden(text, self.secrets_in_logs())
    }

    /// A field of a document that is kept, without our secrets and what looks like those of others, at any depth: what
    /// stands behind a name that tells a secret, and what [`Self::without_secrets`] finds in texts.
    pub fn field_without_secrets(&self, name: &str, value: Value) -> (String, Value) {
        log::hidden_field(name, value, self.secrets_in_logs())
    }

    fn secrets_in_logs(&self) -> &Secrets {
        self.in_logs.as_deref().unwrap_or(self.secrets())
    }

    /// Reads JSON that came from the server in another way than as a body, with our secrets hidden.
    pub fn read_json<'de, T: Deserialize<'de>>(&self, json: &'de [u8]) -> serde_json::Result<T> {
        hiding::read(SliceRead::new(json), Some(self.secrets()))
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.inner.secrets
    }

    pub(crate) fn server(&self) -> String {
        self.root().server()
    }
}
