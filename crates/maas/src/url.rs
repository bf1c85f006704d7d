use std::fmt;
use std::str::FromStr;

use rest::{Root, RootError};
use serde::{Deserialize, Serialize};

use crate::key::ApiKey;

/// Where MAAS's API 2.0 lies: `http(s)://host[:port]/MAAS/api/2.0/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MaasUrl(Root);

/// Why an address was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no address at all.
    #[error(transparent)]
    Address(#[from] RootError),
    /// It is an API key: two settings were mixed up, and this text must not show it.
    #[error("the MAAS address looks like an API key; are the two settings mixed up?")]
    Key,
    /// It names another version of the API.
    #[error(
        "`{0}` names another API than 2.0, the only one that racktick speaks; leave `/api/...` out"
    )]
    Version(String),
}

impl MaasUrl {
    /// Reads an address in any form that MAAS's own command line takes: `/api/2.0/` is added unless it is there.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if ApiKey::parse(text).is_ok() && !text.contains('/') {
            return Err(UrlError::Key);
        }
        let root = Root::parse(text)?;
        let segments: Vec<&str> = root.path().trim_end_matches('/').split('/').collect();
        match segments[..] {
            [.., "api", "2.0"] => Ok(Self(root)),
            [.., "api", version] if version.starts_with(|first: char| first.is_ascii_digit()) => {
                Err(UrlError::Version(root.to_string()))
            }
            _ => Ok(Self(Root::parse(&format!("{root}api/2.0/"))?)),
        }
    }

    /// Where the pages for people begin, such as `http://maas.example:5240/MAAS/`.
    pub fn site(&self) -> &str {
        let root = self.0.as_str();
        root.strip_suffix("api/2.0/").unwrap_or(root)
    }

    pub(crate) fn root(&self) -> &Root {
        &self.0
    }
}

impl FromStr for MaasUrl {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for MaasUrl {
    type Error = UrlError;
    fn try_from(text: String) -> Result<Self, UrlError> {
        Self::parse(&text)
    }
}

impl From<MaasUrl> for String {
    fn from(url: MaasUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for MaasUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_in_use_is_understood() {
        for given in [
            "http://h:5240/MAAS",
            "http://h:5240/MAAS/",
            "http://h:5240/MAAS/api/2.0",
            " http://h:5240/MAAS/api/2.0/\n",
        ] {
            assert_eq!(
                MaasUrl::parse(given).unwrap().to_string(),
                "http://h:5240/MAAS/api/2.0/"
            );
        }
        assert_eq!(
            MaasUrl::parse("https://h").unwrap().to_string(),
            "https://h/api/2.0/"
        );
    }

    #[test]
    fn pages_for_people_begin_where_the_api_does() {
        for (given, site) in [
            ("http://h:5240/MAAS", "http://h:5240/MAAS/"),
            ("https://h/api/2.0/", "https://h/"),
        ] {
            assert_eq!(MaasUrl::parse(given).unwrap().site(), site);
        }
    }

    #[test]
    fn a_bad_address_is_named() {
        for given in [
            "h:5240/MAAS",
            "http://h/MAAS/api/1.0",
            "http://h/MAAS/#/machines",
        ] {
            let error = MaasUrl::parse(given).unwrap_err();
            assert!(error.to_string().contains(given), "{error}");
        }
    }

    #[test]
    fn a_key_in_the_place_of_the_address_is_not_shown() {
        let error = MaasUrl::parse("abc:def:hunter2").unwrap_err();
        assert_eq!(error, UrlError::Key);
        assert!(!error.to_string().contains("hunter2"));
    }
}
