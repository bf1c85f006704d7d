//! A server's address as a person wrote it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The address under which a server's paths lie. Always ends with a slash, so that joining never drops a part.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Root(Url);

/// Why an address was refused. The text names the value, but never a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Nothing was given.
    #[error("the address is empty; write one like `https://host.example`")]
    Empty,
    /// It has no scheme, or one that is not HTTP.
    #[error("`{0}` does not start with `http://` or `https://`; write the whole address")]
    Scheme(String),
    /// It cannot be read as an address.
    #[error("`{value}` is not an address: {why}")]
    Unreadable {
        /// What was given, printable.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// It carries a user name or a password. They would be sent with every request.
    #[error("the address of `{0}` holds a user name or password; remove everything before the `@`")]
    Credentials(String),
    /// It has a query or a fragment, as an address copied from a browser has.
    #[error("`{0}` goes on after the path; remove everything from the `?` or `#` on")]
    Query(String),
}

impl Root {
    /// Reads an address, with or without a final slash.
    pub fn parse(text: &str) -> Result<Self, RootError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(RootError::Empty);
        }
        let scheme = text
            .split_once("://")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            return Err(RootError::Scheme(shown(text)));
        }
        let mut url = Url::parse(text).map_err(|error| RootError::Unreadable {
            value: shown(text),
            why: error.to_string(),
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RootError::Credentials(
                url.host_str().unwrap_or_default().to_owned(),
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(RootError::Query(shown(text)));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }

    /// The address of something below this one. Each segment is encoded, so a name can hold any character;
    /// an empty last segment gives a final slash.
    pub fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The address as text, with its final slash.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The path, with its final slash.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// Host and port, for messages.
    pub fn server(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Whether the bytes travel under TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether the server is this very machine.
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }
}

/// A refused value, printable, without what stands before an `@`.
fn shown(text: &str) -> String {
    let text = match text.rsplit_once('@') {
        Some((_, after)) => format!("***@{after}"),
        None => text.to_owned(),
    };
    text.chars()
        .take(200)
        .collect::<String>()
        .escape_debug()
        .to_string()
}

impl FromStr for Root {
    type Err = RootError;
    fn from_str(text: &str) -> Result<Self, RootError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Root {
    type Error = RootError;
    fn try_from(text: String) -> Result<Self, RootError> {
        Self::parse(&text)
    }
}

impl From<Root> for String {
    fn from(root: Root) -> Self {
        root.0.into()
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_always_ends_with_a_slash() {
        for (given, want) in [
            ("http://h:5240/MAAS", "http://h:5240/MAAS/"),
            (" https://h \n", "https://h/"),
            ("HTTP://H/a/b/", "http://h/a/b/"),
        ] {
            assert_eq!(Root::parse(given).unwrap().as_str(), want);
        }
    }

    #[test]
    fn what_lies_below_keeps_the_path_and_encodes_names() {
        let root = Root::parse("http://h/MAAS").unwrap();
        assert_eq!(
            root.at(&["machines", ""]).as_str(),
            "http://h/MAAS/machines/"
        );
        assert_eq!(
            root.at(&["a b/c?d#e%"]).as_str(),
            "http://h/MAAS/a%20b%2Fc%3Fd%23e%25"
        );
    }

    #[test]
    fn a_bad_address_is_named() {
        for given in [
            "h:5240/MAAS",
            "ftp://h/",
            "http://",
            "http://h:99999/",
            "http://h/?a=b",
            "http://h/#/machines",
        ] {
            let error = Root::parse(given).unwrap_err();
            assert!(error.to_string().contains(given), "{error}");
        }
        assert_eq!(Root::parse(" "), Err(RootError::Empty));
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_never_shown() {
        for given in [
            "http://me:hunter2@h/",
            "me:hunter2@h",
            "http://me:hunter2@h:x/",
            "ftp://hunter2@h",
        ] {
            let error = Root::parse(given).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn this_machine_is_recognised() {
        for here in [
            "http://127.0.0.1:1/",
            "http://127.1.2.3/",
            "http://[::1]:8/",
            "http://localhost/",
        ] {
            assert!(Root::parse(here).unwrap().is_loopback(), "{here}");
        }
        assert!(!Root::parse("http://maas.example/").unwrap().is_loopback());
    }
}
