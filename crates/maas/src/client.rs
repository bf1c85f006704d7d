use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use rest::header::AUTHORIZATION;
use rest::{Answer, BuildError, Deadline, Http, Limits, Object, Short};
use serde::{Deserialize, Serialize};

use crate::error::MaasError;
use crate::key::ApiKey;
use crate::machine::{Machine, WrittenList, machines};
use crate::url::MaasUrl;

/// How to reach MAAS.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is.
    pub url: MaasUrl,
    /// Who we are to it.
    pub key: ApiKey,
    /// Time limits and sizes.
    pub limits: Limits,
    /// Further certificate authorities to trust, as PEM text.
    pub ca: Option<Vec<u8>>,
}

/// The MAAS client. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Maas {
    http: Http,
    key: ApiKey,
}

/// A user of MAAS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name, as it stands in a machine's `owner`.
    pub name: String,
    /// Whether the user has admin rights, if MAAS said so. racktick needs none.
    #[serde(default)]
    pub admin: Option<bool>,
}

/// What a MAAS says of itself to everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// For instance `3.5.1`.
    pub version: String,
    /// How far its clock is ahead of ours, to a second or so.
    #[serde(default)]
    pub clock_offset: Option<SignedDuration>,
}

impl Maas {
    /// Makes a client. Opens no connection.
    pub fn new(settings: Settings) -> Result<Self, BuildError> {
        let http = Http::new(rest::Settings {
            root: settings.url.root().clone(),
            limits: settings.limits,
            ca: settings.ca,
            secrets: settings.key.secrets(),
        })?;
        Ok(Self {
            http,
            key: settings.key,
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

    /// All machines with this tag that the key's user may see, in MAAS's order. A tag that MAAS does not know is an
    /// error; one without machines is an empty list. MAAS reads blanks and commas as several tags.
    pub async fn machines_by_tag(&self, tag: &str) -> Result<Vec<Machine>, MaasError> {
        const DOING: &str = "read the machines";
        let total = self.http.limits().list_total;
        let answer = self
            .get(
                DOING,
                "machines",
                &["machines", ""],
                &[("tags", tag)],
                total,
            )
            .await?;
        if answer.status() == 400 {
            let error = answer.refused().await;
            let about_tags = error
                .refusal()
                .and_then(rest::Refusal::json)
                .is_some_and(|body| body.get("tags").is_some());
            return Err(match about_tags {
                true => MaasError::UnknownTag(tag.to_owned()),
                false => MaasError::new(DOING, error),
            });
        }
        let written: WrittenList = read(DOING, answer, self.http.limits().list_bytes).await?;
        machines(written).map_err(|why| MaasError::new(DOING, self.http.malformed(&why)))
    }

    /// Whose key this is. Proves that the key works.
    pub async fn whoami(&self) -> Result<User, MaasError> {
        const DOING: &str = "read the owner of the API key";
        #[derive(Deserialize)]
        struct Written {
            username: Short,
            is_superuser: Option<bool>,
        }
        let limits = self.http.limits();
        let answer = self
            .get(
                DOING,
                "whoami",
                &["users", ""],
                &[("op", "whoami")],
                limits.total,
            )
            .await?;
        let Object(Written {
            username,
            is_superuser,
        }) = read(DOING, answer, limits.body_bytes).await?;
        Ok(User {
            name: username.into(),
            admin: is_superuser,
        })
    }

    /// Which MAAS this is. Asked without the key, so it proves only that MAAS is there.
    pub async fn version(&self) -> Result<Version, MaasError> {
        const DOING: &str = "read the version";
        #[derive(Deserialize)]
        struct Written {
            version: Short,
        }
        let limits = self.http.limits();
        let request = self.http.get(&["version", ""]);
        let answer = self
            .http
            .send("version", request, Deadline::after(limits.total))
            .await
            .map_err(|error| MaasError::new(DOING, error))?;
        let clock_offset = answer.clock_offset();
        let Object(Written { version }) = read(DOING, answer, limits.body_bytes).await?;
        Ok(Version {
            version: version.into(),
            clock_offset,
        })
    }

    /// A signed GET.
    async fn get(
        &self,
        doing: &'static str,
        endpoint: &'static str,
        segments: &[&str],
        query: &[(&str, &str)],
        total: Duration,
    ) -> Result<Answer, MaasError> {
        let address = self.http.root().at(segments);
        let request = self
            .http
            .get(segments)
            .query(query)
            .header(AUTHORIZATION, self.key.sign(address.as_str()));
        self.http
            .send(endpoint, request, Deadline::after(total))
            .await
            .map_err(|error| MaasError::new(doing, error))
    }
}

/// Reads the body of a 200; everything else is an error.
async fn read<T>(doing: &'static str, answer: Answer, cap: u64) -> Result<T, MaasError>
where
    T: serde::de::DeserializeOwned + Send + 'static,
{
    let read = match answer.status() {
        200 => answer.json(cap).await,
        401 => Err(answer.refused_unread()),
        _ => Err(answer.refused().await),
    };
    read.map_err(|error| MaasError::new(doing, error))
}
