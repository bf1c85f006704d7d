//! A file with the seed of a key. Whose key it is stands in a comment, which the `nats` command reads over.

use secrecy::{ExposeSecret, SecretString};

use super::Role;

/// Where a key file names its role.
const ROLE: &str = "# racktick role: ";

/// What a key file holds.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// The seed of a user's nkey (`SU...`).
    pub seed: SecretString,
    /// The role, when `racktick setup --credentials` wrote the file.
    pub role: Option<Role>,
}

impl KeyFile {
    /// Reads a file's text: a seed on a line of its own. `None` when there is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let role = lines
            .clone()
            .find_map(|line| line.strip_prefix(ROLE.trim_end())?.trim().parse().ok());
        let seed = lines.find(|line| line.starts_with("SU"))?;
        Some(Self {
            seed: seed.into(),
            role,
        })
    }

    /// The file's text.
    pub(super) fn text(seed: &SecretString, role: Role) -> SecretString {
        format!("{ROLE}{role}\n{}\n", seed.expose_secret()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_found_with_and_without_its_role() {
        let seed = SecretString::from("SUACSSL3");
        for role in Role::ALL {
            let text = KeyFile::text(&seed, role);
            let read = KeyFile::parse(text.expose_secret()).unwrap();
            assert_eq!(
                (read.seed.expose_secret(), read.role),
                ("SUACSSL3", Some(role))
            );
        }
        let bare = KeyFile::parse(" SUACSSL3\r\n").unwrap();
        assert_eq!((bare.seed.expose_secret(), bare.role), ("SUACSSL3", None));
        let strange = KeyFile::parse("# racktick role: king\nSUA").unwrap();
        assert_eq!(strange.role, None);
        for none in ["", "UABC", "# racktick role: worker"] {
            assert!(KeyFile::parse(none).is_none(), "{none}");
        }
    }
}
