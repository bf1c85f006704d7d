//! Visitors that a proxy in front has signed in. What a header says is believed when it comes from a peer that is trusted,
//! and from nobody else: whoever reaches the dashboard past the proxy could write anything into one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::tokens::Role;

/// The longest name of a visitor, in bytes.
const LONGEST_NAME: usize = 256;

/// A proxy that signs visitors in.
#[derive(Debug, Clone)]
pub struct Proxy {
    user: HeaderName,
    role: Option<HeaderName>,
    trusted: Vec<IpNet>,
    /// Somebody else sent the header, and that was said.
    warned: Arc<AtomicBool>,
}

/// A word of the configuration that makes no proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// No name of a header.
    #[error("`{0}` is no name of a header: write one such as `X-Forwarded-User`")]
    Header(String),
    /// No address.
    #[error(
        "`{0}` is no address or network: write `127.0.0.1`, `10.0.0.0/8` or `::1`, with commas between several"
    )]
    Address(String),
}

/// Who a trusted proxy says that a visitor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) name: String,
    pub(super) role: Role,
}

impl Proxy {
    /// A proxy that names its visitor in the header `user`, and says in the header `role` what they may do: without one,
    /// they are viewers.
    pub fn new(user: HeaderName, role: Option<HeaderName>, trusted: Vec<IpNet>) -> Self {
        Self {
            user,
            role,
            trusted,
            warned: Arc::default(),
        }
    }

    /// Reads the name of a header.
    ///
    /// # Errors
    /// `Header`.
    pub fn header(text: &str) -> Result<HeaderName, ProxyError> {
        let name = text.trim().parse();
        name.map_err(|_| ProxyError::Header(text.escape_debug().to_string()))
    }

    /// Reads addresses and networks with commas between.
    ///
    /// # Errors
    /// `Address`.
    pub fn networks(text: &str) -> Result<Vec<IpNet>, ProxyError> {
        let networks = text.split(',').map(str::trim).map(|word| {
            let network = word.parse::<IpNet>();
            network
                .or_else(|_| word.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| ProxyError::Address(word.escape_debug().to_string()))
        });
        networks.collect()
    }

    /// Who the visitor is; `None` when the proxy does not say, or somebody else says so. An error is what is wrong with
    /// what the proxy says.
    pub(super) fn visitor(
        &self,
        peer: SocketAddr,
        headers: &HeaderMap,
    ) -> Result<Option<Forwarded>, String> {
        if !headers.contains_key(&self.user) {
            return Ok(None);
        }
        let address = peer.ip().to_canonical();
        if !self
            .trusted
            .iter()
            .any(|network| network.contains(&address))
        {
            if !self.warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    %peer,
                    header = %self.user,
                    "a peer that is not trusted says who its visitor is; that is ignored, and not said again"
                );
            }
            return Ok(None);
        }
        let name = one(headers, &self.user)?;
        let is_odd = name.is_empty() || name.len() > LONGEST_NAME;
        if is_odd || name.chars().any(char::is_control) {
            return Err(format!(
                "the proxy's header {} holds no name: 1 to {LONGEST_NAME} bytes are one",
                self.user
            ));
        }
        let role = match &self.role {
            Some(header) if headers.contains_key(header) => {
                let role = one(headers, header)?.parse::<Role>();
                role.map_err(|error| format!("the proxy's header {header}: {error}"))?
            }
            _ => Role::Viewer,
        };
        Ok(Some(Forwarded {
            name: name.to_owned(),
            role,
        }))
    }
}

/// The only value of a header.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, String> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => {
            let text = str::from_utf8(value.as_bytes());
            text.map(str::trim)
                .map_err(|_| format!("the proxy's header {name} is no text"))
        }
        _ => Err(format!("the proxy's header {name} is there more than once")),
    }
}
