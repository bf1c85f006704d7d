//! From settings to what the other crates take: the broker's address and credentials, the two clients, the times.

use std::path::Path;
use std::time::Duration;

use bus::Credentials;
use maas::{Limits, Maas};
use testflinger::Testflinger;

use super::{Config, ConfigError, Key, Problem, text};
use crate::output::chain;

impl Config {
    /// How to reach the broker, and how long to wait for one that is only just starting.
    pub(crate) fn nats(&self, name: &str, wait: Duration) -> Result<bus::Connect, ConfigError> {
        Ok(bus::Connect {
            servers: vec![self.nats.url.0.clone()],
            name: format!("racktick {name}"),
            credentials: self.nats_credentials()?,
            root_ca: self.nats.ca.clone(),
            wait,
        })
    }

    /// The most specific of what was given.
    fn nats_credentials(&self) -> Result<Option<Credentials>, ConfigError> {
        let nats = &self.nats;
        if let Some(path) = &nats.creds {
            return Ok(Some(Credentials::File(path.clone())));
        }
        if let Some(path) = &nats.nkey {
            let seed = read(Key::NatsNkey, path)?;
            return Ok(Some(Credentials::Nkey(seed.trim().to_owned().into())));
        }
        if let (Some(user), Some(password)) = (&nats.user, &nats.password) {
            return Ok(Some(Credentials::Password {
                user: user.clone(),
                password: password.clone(),
            }));
        }
        Ok(nats.token.clone().map(Credentials::Token))
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
        };
        Testflinger::new(settings).map_err(|error| unusable(Key::TestflingerCa, error))
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
