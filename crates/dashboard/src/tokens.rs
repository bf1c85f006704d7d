//! Who may sign in: a file with a name and the hash of a token for each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a token begins with, so that people and secret scanners know it when they see one.
const PREFIX: &str = "racktick_";

/// How many random bytes a token has. A guess cannot hit, so it needs no slow hash and no limit of tries.
const RANDOM: usize = 32;

/// The longest name.
const LONGEST_NAME: usize = 64;

/// The file of tokens. It is read anew for every request, so that who is removed is out at once. Those who change it, in
/// whatever process, do so one after the other.
#[derive(Debug, Clone)]
pub struct Tokens {
    path: PathBuf,
}

/// What whoever signs in may do.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read.
    #[default]
    Viewer,
    /// Tick, pause and resume racks, cancel jobs and replay dead letters, too.
    Operator,
    /// Drop dead letters and say who may sign in, too.
    Admin,
}

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: write viewer, operator or admin")]
pub struct UnknownRole(String);

impl Role {
    /// All of them; each may do what those before it may.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownRole(text.escape_debug().to_string())),
        }
    }
}

/// One who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who it is: a person, or a program.
    pub name: String,
    /// What they may do.
    #[serde(default)]
    pub role: Role,
    /// The token's SHA-256, in base64.
    pub sha256: String,
    /// Since when.
    pub added_at: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    token: Vec<Holder>,
}

/// The file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It cannot be read.
    #[error("the tokens file {path} cannot be read")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no file of tokens.
    #[error("the tokens file {path} makes no sense")]
    Content {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: toml::de::Error,
    },
    /// It cannot be written.
    #[error("the tokens file {path} cannot be written")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name that somebody has already.
    #[error("there is a token of `{0}` already: remove it first, or choose another name")]
    Taken(String),
    /// A name that nobody has.
    #[error("there is no token of `{name}` in the tokens file {path}")]
    Unknown {
        /// The name.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A name that cannot be one.
    #[error("`{0}` is no name: write 1 to 64 letters, digits, `.`, `_`, `@` or `-`")]
    BadName(String),
}

impl Tokens {
    /// The file at this path, which need not be there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All who may sign in, by name.
    ///
    /// # Errors
    /// `Read`, `Content`. A file that is not there holds nobody.
    pub fn holders(&self) -> Result<Vec<Holder>, TokenError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                let path = self.path.clone();
                return Err(TokenError::Read { path, source });
            }
        };
        match toml::from_str::<Content>(&text) {
            Ok(content) => Ok(content.token),
            Err(source) => {
                let path = self.path.clone();
                Err(TokenError::Content { path, source })
            }
        }
    }

    /// Whose token this is, if it is any.
    ///
    /// # Errors
    /// As [`Tokens::holders`].
    pub fn holder(&self, token: &str) -> Result<Option<Holder>, TokenError> {
        if !token.starts_with(PREFIX) {
            return Ok(None);
        }
        // What is compared is a hash: how far it agrees says nothing about the token.
        let hash = hash(token);
        let mut holders = self.holders()?.into_iter();
        Ok(holders.find(|holder| holder.sha256 == hash))
    }

    /// Makes a token for a name. It is told this once, and only its hash is kept.
    ///
    /// # Errors
    /// `BadName`, `Taken`, and as [`Tokens::holders`] and [`Tokens::remove`].
    pub fn add(&self, name: &str, role: Role, now: Timestamp) -> Result<String, TokenError> {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_fine) {
            return Err(TokenError::BadName(name.escape_debug().to_string()));
        }
        let _lock = self.lock()?;
        let mut token = self.holders()?;
        if token.iter().any(|holder| holder.name == name) {
            return Err(TokenError::Taken(name.to_owned()));
        }
        let secret: [u8; RANDOM] = rand::random();
        let secret = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
        token.push(Holder {
            name: name.to_owned(),
            role,
            sha256: hash(&secret),
            added_at: now,
        });
        token.sort_by(|a, b| a.name.cmp(&b.name));
        self.write(&Content { token })?;
        Ok(secret)
    }

    /// Takes a name's token away.
    ///
    /// # Errors
    /// `Unknown`, `Write`, and as [`Tokens::holders`].
    pub fn remove(&self, name: &str) -> Result<(), TokenError> {
        let unknown = || TokenError::Unknown {
            name: name.escape_debug().to_string(),
            path: self.path.clone(),
        };
        let others = || -> Result<Vec<Holder>, TokenError> {
            let mut token = self.holders()?;
            let before = token.len();
            token.retain(|holder| holder.name != name);
            (token.len() < before).then_some(token).ok_or_else(unknown)
        };
        // The lock is the file itself: for a name that nobody has, none is made.
        others()?;
        let _lock = self.lock()?;
        self.write(&Content { token: others()? })
    }

    /// Waits until nobody else changes the file, and keeps them from it until what is returned is dropped. A process that
    /// dies lets go of it.
    fn lock(&self) -> Result<File, TokenError> {
        let lock = || loop {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&self.path)?;
            file.lock()?;
            let locked = file.metadata()?;
            // Whoever had it before may have put another file in its place.
            match fs::metadata(&self.path) {
                Ok(there) if (there.dev(), there.ino()) == (locked.dev(), locked.ino()) => {
                    return Ok(file);
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        };
        lock().map_err(|source| self.unwritten(source))
    }

    fn unwritten(&self, source: io::Error) -> TokenError {
        TokenError::Write {
            path: self.path.clone(),
            source,
        }
    }

    /// Whoever reads meanwhile sees the old file or the new one, never a part.
    fn write(&self, content: &Content) -> Result<(), TokenError> {
        let write = || {
            let text = toml::to_string(content).map_err(io::Error::other)?;
            let mut beside = self.path.clone().into_os_string();
            beside.push(format!(".{}", std::process::id()));
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)
        };
        write().map_err(|source| self.unwritten(source))
    }
}

fn hash(token: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-28T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_token_lets_its_holder_in_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::at(folder.path().join("tokens.toml"));
        assert_eq!(tokens.holder("racktick_x").unwrap(), None);
        let ann = tokens.add("ann", Role::Viewer, now()).unwrap();
        let bob = tokens.add("bob@example.com", Role::Viewer, now()).unwrap();
        assert_ne!(ann, bob);
        let name = |token: &str| tokens.holder(token).unwrap().map(|holder| holder.name);
        assert_eq!(name(&ann).as_deref(), Some("ann"));
        assert_eq!(name(&bob).as_deref(), Some("bob@example.com"));
        let held = tokens.holder(&ann).unwrap().unwrap().sha256;
        for wrong in ["", "ann", &held, &ann[..ann.len() - 1]] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        let text = fs::read_to_string(tokens.path()).unwrap();
        assert!(!text.contains(&ann) && text.contains("ann"));
        tokens.remove("ann").unwrap();
        assert_eq!((name(&ann), name(&bob).is_some()), (None, true));
    }

    #[test]
    fn those_who_change_the_file_at_the_same_time_undo_nothing() {
        const EACH: usize = 20;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        Tokens::at(&path).add("ann", Role::Admin, now()).unwrap();
        let add_and_remove = |who: &str| {
            let tokens = Tokens::at(&path);
            for number in 0..EACH {
                let name = format!("{who}-{number}");
                tokens.add(&name, Role::Viewer, now()).unwrap();
                // Whoever reads meanwhile never finds a file without those who were there before.
                let holders = tokens.holders().unwrap();
                assert!(holders.iter().any(|holder| holder.name == "ann"));
                if number % 2 == 1 {
                    tokens.remove(&name).unwrap();
                }
            }
        };
        std::thread::scope(|scope| {
            for who in ["bob", "eve", "kim"] {
                scope.spawn(move || add_and_remove(who));
            }
        });
        let holders = Tokens::at(&path).holders().unwrap();
        assert_eq!(holders.len(), 1 + 3 * EACH / 2, "{holders:?}");
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1, "nothing is left beside it");
    }

    #[test]
    fn only_its_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::at(folder.path().join("tokens.toml"));
        tokens.add("ann", Role::Viewer, now()).unwrap();
        let mode = fs::metadata(tokens.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1, "nothing is left beside it");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let tokens = Tokens::at(&path);
        assert!(matches!(
            tokens.remove("bob"),
            Err(TokenError::Unknown { .. })
        ));
        assert!(!path.exists(), "who takes nothing away makes no file");
        for name in ["", "a b", "a\nb", &"x".repeat(65)] {
            assert!(matches!(
                tokens.add(name, Role::Viewer, now()),
                Err(TokenError::BadName(_))
            ));
        }
        tokens.add("ann", Role::Viewer, now()).unwrap();
        assert!(matches!(
            tokens.add("ann", Role::Viewer, now()),
            Err(TokenError::Taken(_))
        ));
        let unknown = tokens.remove("bob").unwrap_err().to_string();
        let file = path.display();
        assert_eq!(
            unknown,
            format!("there is no token of `bob` in the tokens file {file}")
        );
        fs::write(&path, "token = 7").unwrap();
        assert!(matches!(
            tokens.holder("racktick_x"),
            Err(TokenError::Content { .. })
        ));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(
            tokens.holder("racktick_x"),
            Err(TokenError::Read { .. })
        ));
    }
}
