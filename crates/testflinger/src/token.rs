//! Access tokens: one at a time for all clones of a client.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rest::header::{AUTHORIZATION, HeaderValue};
use rest::{Deadline, Error, Http, Object};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::error::TestflingerError;

/// How long the server lets a token live if it does not say.
const LIFETIME: u64 = 600;

/// A client of Testflinger, as its administrators made it.
#[derive(Clone)]
pub struct Credentials {
    client_id: String,
    basic: HeaderValue,
    secrets: Vec<SecretString>,
}

/// Why credentials were refused. Never shows the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No client id.
    #[error("the Testflinger client id is empty")]
    EmptyId,
    /// No secret.
    #[error("the secret key of the Testflinger client `{0}` is empty")]
    EmptySecret(String),
    /// HTTP Basic cannot carry such an id.
    #[error("the Testflinger client id `{0}` holds a colon or a control character; copy it again")]
    Id(String),
    /// HTTP Basic cannot carry such a secret.
    #[error(
        "the secret key of the Testflinger client `{0}` holds a control character; copy it again"
    )]
    Secret(String),
}

impl Credentials {
    /// Checks and keeps a client id and its secret. White space around them is fine, as a file's line end.
    pub fn new(client_id: &str, secret: &SecretString) -> Result<Self, CredentialsError> {
        let (client_id, secret) = (client_id.trim(), secret.expose_secret().trim());
        let shown = || client_id.escape_debug().to_string();
        if client_id.is_empty() {
            return Err(CredentialsError::EmptyId);
        }
        if client_id.chars().any(|c| c == ':' || c.is_control()) {
            return Err(CredentialsError::Id(shown()));
        }
        if secret.is_empty() {
            return Err(CredentialsError::EmptySecret(shown()));
        }
        if secret.chars().any(char::is_control) {
            return Err(CredentialsError::Secret(shown()));
        }
        let encoded = STANDARD.encode(format!("{client_id}:{secret}"));
        let mut basic =
            HeaderValue::try_from(format!("Basic {encoded}")).expect("base64 is plain ASCII");
        basic.set_sensitive(true);
        let secrets = vec![secret.to_owned().into(), encoded.into()];
        Ok(Self {
            client_id: client_id.to_owned(),
            basic,
            secrets,
        })
    }

    /// What must never appear in a message.
    pub(crate) fn secrets(&self) -> Vec<SecretString> {
        self.secrets.clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, ***)", self.client_id)
    }
}

/// A token that was issued to us.
pub(crate) struct Token {
    pub(crate) header: HeaderValue,
    pub(crate) allowed_queues: BTreeSet<String>,
    renew_at: Instant,
}

/// Fetches tokens when one is needed. A fresh one each time, never by refresh token: rights are frozen into a token,
/// and only a new one knows of a queue that was granted since.
pub(crate) struct Tokens {
    credentials: Credentials,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    /// When the last attempt failed and why: who waited for it has the same failure, instead of trying in turn.
    failure: Option<(Instant, Arc<Error>)>,
}

impl Tokens {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            state: Mutex::default(),
        }
    }

    /// A token that is good for a while, other than `refused`.
    pub(crate) async fn get(
        &self,
        http: &Http,
        refused: Option<&Arc<Token>>,
        deadline: Deadline,
    ) -> Result<Arc<Token>, TestflingerError> {
        // The wait for whoever is fetching counts, too.
        match timeout_at(deadline.at(), self.held_or_fetched(http, refused, deadline)).await {
            Ok(token) => token.map_err(failure),
            Err(_) => Err(failure(Arc::new(http.late(deadline)))),
        }
    }

    async fn held_or_fetched(
        &self,
        http: &Http,
        refused: Option<&Arc<Token>>,
        deadline: Deadline,
    ) -> Result<Arc<Token>, Arc<Error>> {
        let asked = Instant::now();
        // Whoever holds the lock fetches, for all.
        let mut state = self.state.lock().await;
        let unlike =
            |token: &Arc<Token>| refused.is_none_or(|refused| !Arc::ptr_eq(refused, token));
        if let Some(token) = state
            .token
            .as_ref()
            .filter(|token| Instant::now() < token.renew_at && unlike(token))
        {
            return Ok(token.clone());
        }
        if let Some((failed, why)) = &state.failure
            && *failed > asked
        {
            return Err(why.clone());
        }
        match self.fetch(http, deadline).await {
            Ok(token) => {
                let token = Arc::new(token);
                *state = State {
                    token: Some(token.clone()),
                    failure: None,
                };
                Ok(token)
            }
            Err(error) => {
                let why = Arc::new(error);
                *state = State {
                    token: None,
                    failure: Some((Instant::now(), why.clone())),
                };
                Err(why)
            }
        }
    }

    async fn fetch(&self, http: &Http, deadline: Deadline) -> Result<Token, Error> {
        #[derive(Deserialize)]
        struct Issued {
            access_token: String,
            expires_in: Option<u64>,
        }
        let asked = Instant::now();
        let request = http
            .post(&["v1", "oauth2", "token"])
            .header(AUTHORIZATION, self.credentials.basic.clone());
        let answer = http.send("token", request, deadline).await?;
        let Object(issued): Object<Issued> = match answer.status() {
            200 => answer.secret_json(http.limits().body_bytes).await?,
            401 => return Err(answer.refused_unread()),
            _ => return Err(answer.refused().await),
        };
        let header = HeaderValue::try_from(format!("Bearer {}", issued.access_token));
        let mut header =
            header.map_err(|_| http.malformed("the access token cannot be sent in a header"))?;
        header.set_sensitive(true);
        let lifetime = Duration::from_secs(issued.expires_in.unwrap_or(LIFETIME).min(LIFETIME));
        // A fifth of its life before the end, so that no request arrives with a token that ended on the way.
        let renew_at = asked + lifetime.mul_f64(0.8);
        Ok(Token {
            header,
            allowed_queues: allowed_queues(http, &issued.access_token),
            renew_at,
        })
    }
}

fn failure(why: Arc<Error>) -> TestflingerError {
    match why.refusal() {
        Some(refusal) if refusal.status == 401 => TestflingerError::Credentials,
        _ => TestflingerError::Token(why),
    }
}

/// The restricted queues that a token opens, by its own claims. None if it is not of the known kind.
fn allowed_queues(http: &Http, token: &str) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Claims {
        permissions: Permissions,
    }
    #[derive(Deserialize)]
    struct Permissions {
        #[serde(default)]
        allowed_queues: BTreeSet<String>,
    }
    let claims = || {
        let payload = URL_SAFE_NO_PAD
            .decode(token.split('.').nth(1)?.trim_end_matches('='))
            .ok()?;
        http.read_json::<Claims>(&payload).ok()
    };
    claims()
        .map(|claims| claims.permissions.allowed_queues)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_credentials_are_named_without_the_secret() {
        for (id, secret, want) in [
            ("", "hunter2", "client id is empty"),
            ("me:too", "hunter2", "`me:too`"),
            (
                "me",
                " ",
                "secret key of the Testflinger client `me` is empty",
            ),
            ("me", "hunter2\u{7}hunter2", "control character"),
        ] {
            let error = Credentials::new(id, &secret.into()).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let credentials = Credentials::new("me", &"hunter2\n".into()).unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(me, ***)");
        assert_eq!(credentials.basic, "Basic bWU6aHVudGVyMg==");
    }
}
