//! The variables that point racktick at a lab.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::LabConfig;

/// Names and values of the variables that point racktick at a lab that listens (or will listen) at `authority`, a
/// socket address or `host:port`. They follow from the configuration alone, so another process with the same seed
/// prints the same. A wildcard address becomes the loopback one.
pub fn environment(config: &LabConfig, authority: impl Display) -> Vec<(String, String)> {
    let base = base_url(authority);
    [
        ("MAAS_URL", format!("{base}/MAAS/")),
        ("MAAS_API_KEY", config.api_key()),
        ("TESTFLINGER_SERVER", base),
        ("RACKTICK_SPEED", config.speed.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

pub(crate) fn base_url(authority: impl Display) -> String {
    let authority = authority.to_string();
    match authority.parse::<SocketAddr>() {
        Ok(mut address) if address.ip().is_unspecified() => {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
            format!("http://{address}")
        }
        _ => format!("http://{authority}"),
    }
}

/// `value` as one word of a POSIX shell; plain words stay as they are.
pub fn shell_quoted(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_variables() {
        let config = LabConfig {
            seed: 42,
            speed: 60.0,
            ..LabConfig::default()
        };
        let variables = environment(&config, "127.0.0.1:5240");
        assert_eq!(variables, environment(&config.clone(), "127.0.0.1:5240"));
        let other = environment(
            &LabConfig {
                seed: 43,
                ..config.clone()
            },
            "127.0.0.1:5240",
        );
        assert_ne!(variables[1], other[1]);
        assert_eq!(variables[0].1, "http://127.0.0.1:5240/MAAS/");
        assert_eq!(variables[2].1, "http://127.0.0.1:5240");
        assert_eq!(variables[3], ("RACKTICK_SPEED".to_owned(), "60".to_owned()));
        assert_eq!(
            variables[1].1.split(':').map(str::len).collect::<Vec<_>>(),
            [18, 18, 32]
        );
    }

    #[test]
    fn a_wildcard_address_is_reached_over_loopback() {
        let variables = environment(&LabConfig::default(), "0.0.0.0:80");
        assert_eq!(variables[2].1, "http://127.0.0.1:80");
        let variables = environment(&LabConfig::default(), "lab:5240");
        assert_eq!(variables[2].1, "http://lab:5240");
    }

    #[test]
    fn words_are_quoted_for_a_shell_only_where_needed() {
        assert_eq!(shell_quoted("http://h:1/MAAS/"), "http://h:1/MAAS/");
        assert_eq!(shell_quoted(""), "''");
        assert_eq!(shell_quoted("a b"), "'a b'");
        assert_eq!(shell_quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
