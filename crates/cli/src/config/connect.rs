//! From settings to what the other crates take: the broker's address and credentials, the two clients, the times.

use std::path::Path;
use std::time::Duration;

use bus::Credentials;
use bus::access::{KeyFile, Role};
use bus::topology::Topology;
use maas::{Limits, Maas};
use secrecy::{ExposeSecret, SecretString};
use testflinger::Testflinger;

use super::{Config, ConfigError, Key, Problem, text};
use crate::output::chain;

impl Config {
    /// How to reach the broker, and how long to wait for one that is only just starting.
    pub(crate) fn nats(&self, name: &str, wait: Duration) -> Result<bus::Connect, ConfigError> {
        let (credentials, role) = self.nats_credentials()?;
        Ok(bus::Connect {
            servers: vec![self.nats.url.0.clone()],
            name: format!("racktick {name}"),
            credentials,
            root_ca: self.nats.ca.clone(),
            certificate: self.nats.certificate.clone(),
            inbox_prefix: self
                .nats
                .inbox_prefix
                .clone()
                .or(role.map(Role::inbox_prefix)),
            wait,
        })
    }

    /// What the broker shall have of streams, consumers and buckets.
    pub(crate) fn topology(&self) -> Topology {
        Topology::declared(self.events)
            .with_evidence(self.evidence)
            .with_replicas(self.nats.replicas.map(|replicas| replicas.0))
    }

    /// The role whose key is in use, when the key's file says so.
    pub(crate) fn nats_role(&self) -> Result<Option<Role>, ConfigError> {
        Ok(self.nats_credentials()?.1)
    }

    /// The most specific of what was given, and the role that it is known to stand for.
    fn nats_credentials(&self) -> Result<(Option<Credentials>, Option<Role>), ConfigError> {
        let nats = &self.nats;
        if let (None, Some(path)) = (&nats.creds, &nats.nkey) {
            let text = SecretString::from(read(Key::NatsNkey, path)?);
            let what = format!("the file that {} names,", Key::NatsNkey.setting().variable);
            let KeyFile { seed, role } = KeyFile::parse(text.expose_secret()).ok_or_else(|| {
                Problem::unreadable(what, path, "no line is a user's seed (SU...)")
            })?;
            return Ok((Some(Credentials::Nkey(seed)), role));
        }
        Ok((self.other_nats_credentials(), None))
    }

    fn other_nats_credentials(&self) -> Option<Credentials> {
        let nats = &self.nats;
        if let Some(path) = &nats.creds {
            return Some(Credentials::File(path.clone()));
        }
        if let (Some(user), Some(password)) = (&nats.user, &nats.password) {
            return Some(Credentials::Password {
                user: user.clone(),
                password: password.clone(),
            });
        }
        nats.token.clone().map(Credentials::Token)
    }

    /// The MAAS client.
    pub(crate) fn maas(&self) -> Result<Maas, ConfigError> {
        let missing = |key| ConfigError::from(Problem::missing(key));
        let settings = maas::Settings {
            url: self.maas.url.clone().ok_or_else(|| missing(Key::MaasUrl))?,
            key: self
                .maas
                .api_key
                .clone()
                .ok_or_else(|| missing(Key::MaasApiKey))?,
            limits: self.limits(),
            ca: certificate(Key::MaasCa, self.maas.ca.as_deref())?,
        };
        Maas::new(settings).map_err(|error| unusable(Key::MaasCa, error))
    }

    /// The Testflinger client.
    pub(crate) fn testflinger(&self) -> Result<Testflinger, ConfigError> {
        let settings = testflinger::Settings {
            server: self.testflinger.server.clone(),
            credentials: self.testflinger.credentials.clone(),
            limits: self.limits(),
            ca: certificate(Key::TestflingerCa, self.testflinger.ca.as_deref())?,
            secrets: self.other_secrets(),
        };
        Testflinger::new(settings).map_err(|error| unusable(Key::TestflingerCa, error))
    }

    /// What a log must not hold besides the secrets of Testflinger itself.
    fn other_secrets(&self) -> Vec<SecretString> {
        let maas = self.maas.api_key.iter().flat_map(maas::ApiKey::secrets);
        let broker = [&self.nats.password, &self.nats.token];
        maas.chain(broker.into_iter().flatten().cloned()).collect()
    }

    /// The times around a POST at the speed in force.
    pub(crate) fn timing(&self) -> worker::Timing {
        worker::Timing::new(self.settle, self.http.total, self.speed)
    }

    /// The limits of HTTP calls at the speed in force.
    pub(crate) fn limits(&self) -> Limits {
        self.http.with_times(|time| self.speed.shorten(time))
    }
}

fn certificate(key: Key, path: Option<&Path>) -> Result<Option<Vec<u8>>, ConfigError> {
    path.map(|path| read(key, path).map(String::into_bytes))
        .transpose()
}

fn read(key: Key, path: &Path) -> Result<String, ConfigError> {
    let what = format!("the file that {} names,", key.setting().variable);
    text::read(path).map_err(|error| Problem::unreadable(what, path, error).into())
}

fn unusable(key: Key, error: impl std::error::Error) -> ConfigError {
    Problem::Unusable {
        variable: key.setting().variable,
        why: chain(&error),
    }
    .into()
}
