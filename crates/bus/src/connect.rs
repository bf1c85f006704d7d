//! The connection.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ReconnectToServer, ServerAddr,
    ServerError,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::deaf::Deaf;
use crate::denied::Denials;
use crate::error::BusError;
use crate::storing::Storing;
use crate::turn::Turn;
use crate::wire::ONE_TRY;

/// The earliest NATS server that keeps scheduled messages exactly.
pub const MINIMUM_SERVER: Version = Version {
    major: 2,
    minor: 14,
    patch: 6,
};

/// The longest pause between two attempts to connect again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How to reach the broker.
#[derive(Clone)]
pub struct Connect {
    /// Addresses such as `nats://broker:4222` or `tls://broker`; each may itself be a list with commas. With several,
    /// no other servers are used; with one, also those of its cluster that it tells of.
    pub servers: Vec<String>,
    /// What the broker shows as this connection's name.
    pub name: String,
    /// Who we are, unless the broker does not ask.
    pub credentials: Option<Credentials>,
    /// A PEM file with the authority that signed the broker's certificate, unless the system knows it.
    pub root_ca: Option<PathBuf>,
    /// Our own certificate, for a broker that asks for one.
    pub certificate: Option<Certificate>,
    /// How the subjects begin on which answers come. `_INBOX` when nobody says otherwise; a user may be permitted to
    /// read others only.
    pub inbox_prefix: Option<String>,
    /// How long to keep trying when the first attempt fails, for a broker that is only just starting.
    pub wait: Duration,
}

impl fmt::Debug for Connect {
    /// An address can hold a password, so that all of them are shown without.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("servers", &self.shown())
            .field("name", &self.name)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// A certificate that says who we are, before anything else does.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// A PEM file with the certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// A PEM file with its private key.
    pub key: PathBuf,
}

/// Ways to say who we are.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A `.creds` file with token and seed.
    File(PathBuf),
    /// The seed of a user's nkey (`SU...`).
    Nkey(SecretString),
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A token.
    Token(SecretString),
}

/// A server's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version such as 2.14.6")]
pub struct BadVersion(String);

impl FromStr for Version {
    type Err = BadVersion;

    /// Reads `2.14.6`, also with a suffix such as `-RC.1`, which is left out.
    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let numbers = text
            .trim()
            .trim_start_matches('v')
            .split(['-', '+'])
            .next()
            .unwrap_or_default();
        let mut parts = numbers
            .split('.')
            .map(|part| part.parse::<u64>().map_err(|_| BadVersion(text.into())));
        let mut next = || parts.next().unwrap_or_else(|| Err(BadVersion(text.into())));
        Ok(Self {
            major: next()?,
            minor: next()?,
            patch: next()?,
        })
    }
}

impl Connect {
    /// One address and nothing else: no credentials, one attempt.
    pub fn to(server: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            servers: vec![server.into()],
            name: name.into(),
            credentials: None,
            root_ca: None,
            certificate: None,
            inbox_prefix: None,
            wait: Duration::ZERO,
        }
    }

    fn addresses(&self) -> Result<Vec<ServerAddr>, BusError> {
        self.servers
            .iter()
            .flat_map(|servers| servers.split(','))
            .map(str::trim)
            .filter(|server| !server.is_empty())
            .map(|server| {
                server
                    .parse()
                    .map_err(|source: std::io::Error| BusError::Setting {
                        what: format!("the NATS address `{}`", self.shown()),
                        source: source.into(),
                    })
            })
            .collect()
    }

    fn shown(&self) -> String {
        let shown = self
            .servers
            .iter()
            .map(|servers| without_passwords(servers));
        shown.collect::<Vec<_>>().join(", ")
    }

    fn inbox_prefix(&self) -> &str {
        self.inbox_prefix.as_deref().unwrap_or("_INBOX")
    }

    /// `has_choice`: several addresses were given, and they are all that count. A cluster tells its clients all its
    /// nodes, too, under addresses that need not lead there from here.
    async fn options(
        &self,
        epoch: Arc<watch::Sender<u64>>,
        denials: Arc<Denials>,
        has_choice: bool,
    ) -> Result<ConnectOptions, BusError> {
        let options = ConnectOptions::new()
            .name(&self.name)
            // A frozen server takes connections and says nothing: the next one must have its turn soon.
            .connection_timeout(Duration::from_secs(2))
            .request_timeout(Some(ONE_TRY))
            // A dead connection is noticed within three of these.
            .ping_interval(Duration::from_secs(2))
            .max_reconnects(None)
            .reconnect_delay_callback(|attempts| {
                let exponent = u32::try_from(attempts).unwrap_or(u32::MAX).min(5);
                (Duration::from_millis(50) * 2u32.pow(exponent)).min(LONGEST_PAUSE)
            })
            .event_callback(move |event| {
                let (epoch, denials) = (Arc::clone(&epoch), Arc::clone(&denials));
                async move { noted(event, &epoch, &denials) }
            })
            .custom_inbox_prefix(self.inbox_prefix());
        let options = match has_choice {
            true => {
                let turn = Arc::new(Turn::default());
                options
                    .ignore_discovered_servers()
                    .reconnect_to_server_callback(move |servers, _| {
                        let turn = Arc::clone(&turn);
                        async move {
                            let addr = turn.next(&servers)?;
                            Some(ReconnectToServer { addr, delay: None })
                        }
                    })
            }
            false => options,
        };
        let certificate = self
            .certificate
            .iter()
            .flat_map(|own| [&own.certificate, &own.key]);
        for path in self.root_ca.iter().chain(certificate) {
            let read = tokio::fs::read(path).await;
            read.map_err(|source| BusError::Setting {
                what: format!("the PEM file {}", path.display()),
                source: source.into(),
            })?;
        }
        let options = match &self.root_ca {
            None => options,
            Some(path) => options.add_root_certificates(path.clone()),
        };
        let options = match &self.certificate {
            None => options,
            Some(Certificate { certificate, key }) => {
                options.add_client_certificate(certificate.clone(), key.clone())
            }
        };
        Ok(match &self.credentials {
            None => options,
            Some(Credentials::Nkey(seed)) => options.nkey(seed.expose_secret().trim().into()),
            Some(Credentials::Token(token)) => options.token(token.expose_secret().into()),
            Some(Credentials::Password { user, password }) => {
                options.user_and_password(user.clone(), password.expose_secret().into())
            }
            Some(Credentials::File(path)) => {
                let unusable = |source: std::io::Error| BusError::Setting {
                    what: format!("the NATS credentials file {}", path.display()),
                    source: source.into(),
                };
                let text = tokio::fs::read_to_string(path).await.map_err(unusable)?;
                options.credentials(&text).map_err(unusable)?
            }
        })
    }
}

/// Addresses with commas between, as they may be shown: one can hold a user and a password, which belong into no
/// message. A password with a comma in it is no good, and is not shown either.
pub fn without_passwords(servers: &str) -> String {
    let last_at = servers.rfind('@');
    let mut start = 0;
    let shown: Vec<String> = servers
        .split(',')
        .map(|server| {
            let before_a_password = last_at.is_some_and(|at| start < at);
            start += server.len() + 1;
            let blanks = &server[..server.len() - server.trim_start().len()];
            let (scheme, rest) = match server.split_once("://") {
                Some((scheme, rest)) => (format!("{scheme}://"), rest),
                None => (blanks.to_owned(), server),
            };
            match rest.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}***@{host}"),
                None if before_a_password && !is_host(rest) => format!("{scheme}***"),
                None => server.to_owned(),
            }
        })
        .collect();
    shown.join(",")
}

/// Whether a text is a host, with or without a port, and cannot be half of a user and a password.
fn is_host(text: &str) -> bool {
    let (host, port) = text.trim().rsplit_once(':').unwrap_or((text.trim(), ""));
    port.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || port.len() <= 5)
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte))
}

/// Whether TLS is what failed: the client reports it as any other failure to read.
fn is_tls(error: &ConnectError) -> bool {
    let mut cause = error.source();
    while let Some(found) = cause {
        let inner = found
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if found.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        cause = found.source();
    }
    false
}

/// Once per change of state, never per attempt.
fn noted(event: Event, epoch: &watch::Sender<u64>, denials: &Denials) {
    match event {
        Event::Connected => {
            denials.connected();
            epoch.send_modify(|number| *number += 1);
            tracing::info!("connected to NATS");
        }
        Event::Disconnected => tracing::warn!("lost the connection to NATS, trying again"),
        // Whoever waits says so itself.
        Event::ServerError(ServerError::Other(error)) if denials.heard(&error) => {}
        Event::ServerError(error) => tracing::warn!(%error, "the NATS server complains"),
        Event::ClientError(error) => tracing::debug!(%error, "NATS client error"),
        Event::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "messages come faster than they are taken")
        }
        Event::LameDuckMode => tracing::info!("the NATS server is about to stop"),
        Event::Draining | Event::Closed => tracing::debug!(%event, "NATS connection"),
    }
}

/// A connection to the broker. Clones share it.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) denials: Arc<Denials>,
    epoch: watch::Receiver<u64>,
    version: Version,
    pub(crate) storing: Arc<Storing>,
    pub(crate) has_choice: bool,
    pub(crate) deaf: Arc<Deaf>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("server", &self.version)
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// Connects, and refuses a server that is too old. Once connected, the connection is restored for ever when lost.
    ///
    /// # Errors
    /// `Unreachable`, `Unauthorized`, `Tls`, `Setting`, `TooOld`.
    pub async fn connect(connect: &Connect) -> Result<Self, BusError> {
        let addresses = connect.addresses()?;
        let has_choice = addresses.len() > 1;
        let (sender, epoch) = watch::channel(0);
        let sender = Arc::new(sender);
        let denials = Arc::new(Denials::new(
            connect.inbox_prefix(),
            connect.credentials.is_some(),
        ));
        let deadline = Instant::now() + connect.wait;
        let client = loop {
            let options = connect
                .options(Arc::clone(&sender), Arc::clone(&denials), has_choice)
                .await?;
            let error = match options.connect(addresses.as_slice()).await {
                Ok(client) => break client,
                Err(error) => error,
            };
            match error.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                    return Err(BusError::Unauthorized {
                        servers: connect.shown(),
                    });
                }
                kind if kind == ConnectErrorKind::Tls || is_tls(&error) => {
                    return Err(BusError::Tls {
                        servers: connect.shown(),
                        source: error.into(),
                    });
                }
                _ if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(200)).await
                }
                _ => {
                    return Err(BusError::Unreachable {
                        servers: connect.shown(),
                        source: error.into(),
                    });
                }
            }
        };
        // The news of this connection comes by another way; to the first request it would look like another connection.
        let mut known = epoch.clone();
        let _ = tokio::time::timeout(ONE_TRY, known.wait_for(|number| *number > 0)).await;
        let found = client.server_info().version;
        let version = found
            .parse()
            .map_err(|source: BadVersion| BusError::Answer {
                what: "reading the server's version".into(),
                source: source.into(),
            })?;
        if version < MINIMUM_SERVER {
            return Err(BusError::TooOld { found: version });
        }
        Ok(Self {
            client,
            denials,
            epoch,
            version,
            storing: Arc::default(),
            has_choice,
            deaf: Arc::default(),
        })
    }

    /// The version of the server that was connected to first.
    pub fn server_version(&self) -> Version {
        self.version
    }

    /// Whether the connection stands now.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often the connection was made, which changes whenever it is made anew. Requests that were open before are lost
    /// then.
    pub fn connections(&self) -> watch::Receiver<u64> {
        self.epoch.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("2.9.25") < MINIMUM_SERVER);
        assert!(version("2.14.5") < MINIMUM_SERVER);
        assert!(version("v2.14.6-RC.2") >= MINIMUM_SERVER);
        assert!(version("2.15.1") > MINIMUM_SERVER);
        for text in ["", "2", "2.14", "2.x.1"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_never_shown() {
        let connect = Connect::to("nats://me:secret@one:4222, two, you:secret@three", "test");
        assert_eq!(connect.shown(), "nats://***@one:4222, two, ***@three");
        for (servers, want) in [
            ("nats://one:4222,tls://two", "nats://one:4222,tls://two"),
            ("nats://me:sec,ret@one", "nats://***,***@one"),
            (
                "nats://one,nats://me:s,e:c,r@two,three",
                "nats://one,nats://***,***,***@two,three",
            ),
            ("nats://token@[::1]:4222", "nats://***@[::1]:4222"),
            ("", ""),
        ] {
            assert_eq!(without_passwords(servers), want);
        }
        let debug = format!("{:?}", Connect::to("nats://me:secret@one", "test"));
        assert!(
            debug.contains("***@one") && !debug.contains("secret"),
            "{debug}"
        );
    }
}
