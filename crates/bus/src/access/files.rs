//! A folder with the keys of all roles and what the broker is to know of them. A folder for each: the role's goes to
//! the role's hosts, `server` to the broker's.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nkeys::{KeyPair, KeyPairType};
use secrecy::{ExposeSecret, SecretString};

use super::authorization::Authorization;
use super::{KeyFile, ROLES_CONF, Role};
use crate::error::Cause;

/// A folder of keys that cannot be made, or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be read or written.
    #[error("{} cannot be {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that should hold a seed holds none.
    #[error("{} holds no seed of a user's nkey: move it away, or rotate this role's key", path.display())]
    NoSeed {
        /// Which.
        path: PathBuf,
    },
    /// The seed and the broker's file name two keys for one role.
    #[error(
        "{} is not the {role} that {} lets in: put the right one there, or `--rotate {role}` makes another",
        seed.display(), authorization.display()
    )]
    Another {
        /// Whose.
        role: Role,
        /// The file with the seed.
        seed: PathBuf,
        /// The broker's file.
        authorization: PathBuf,
    },
    /// The broker's file was not written by racktick, or was changed.
    #[error(
        "{} is not as racktick wrote it: move it away, and it is written anew from the keys beside it",
        path.display()
    )]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// No key can be made.
    #[error("no key can be made")]
    NoKey {
        /// Why.
        #[source]
        source: Cause,
    },
}

/// What became of a folder of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// What the server's configuration is to include.
    pub authorization: PathBuf,
    /// What was written, a line each. Empty when everything was as it should be.
    pub changes: Vec<String>,
    /// Whether connections without a key are let in.
    pub lets_in: bool,
}

struct Key {
    seed: SecretString,
    public: String,
}

impl Key {
    fn new() -> Result<Self, AccessError> {
        let pair = KeyPair::new_user();
        let seed = pair.seed().map_err(|source| AccessError::NoKey {
            source: source.into(),
        })?;
        Ok(Self {
            seed: seed.into(),
            public: pair.public_key(),
        })
    }
}

/// Makes the keys that are missing, and the files for the broker. A key that is there stays, unless its role is in
/// `rotate`; a seed that was moved away is not missed, because its public half is in the broker's file. Whether
/// connections without a key are let in stays as it is; at first they are.
///
/// # Errors
/// When something there is not what it should be: nothing is replaced then.
pub fn make(folder: &Path, rotate: &[Role]) -> Result<Made, AccessError> {
    let server = folder.join("server");
    let path = server.join("authorization.conf");
    let before = match read(&path)? {
        None => None,
        Some(text) => Some(
            Authorization::parse(&text)
                .ok_or_else(|| AccessError::Foreign { path: path.clone() })?,
        ),
    };
    let mut made = Made {
        authorization: path.clone(),
        ..Made::default()
    };
    let mut after = Authorization {
        roles: Default::default(),
        local: match &before {
            Some(before) => before.local.clone(),
            // Its seed is forgotten here: nobody ever shows that key.
            None => Key::new()?.public,
        },
        lets_in: before.as_ref().is_none_or(|before| before.lets_in),
    };
    let mut to_write = Vec::new();
    for role in Role::ALL {
        let file = folder.join(role.name()).join(format!("{role}.nk"));
        let named = before.as_ref().and_then(|before| before.roles.get(&role));
        let public = match (rotate.contains(&role), public(&file)?, named) {
            (false, Found::Key(public), Some(named)) if public != *named => {
                return Err(AccessError::Another {
                    role,
                    seed: file,
                    authorization: path,
                });
            }
            (false, Found::NoKey, _) => return Err(AccessError::NoSeed { path: file }),
            (false, Found::Key(public), _) => public,
            (false, Found::NoFile, Some(named)) => named.clone(),
            (true, ..) | (false, Found::NoFile, None) => {
                let Key { seed, public } = Key::new()?;
                to_write.push((role, file, KeyFile::text(&seed, role)));
                public
            }
        };
        after.roles.insert(role, public);
    }
    // Nothing is written before everything was read: what is wrong is found while all is as it was.
    directory(folder, 0o755)?;
    directory(&server, 0o755)?;
    for (role, file, text) in to_write {
        directory(&folder.join(role.name()), 0o700)?;
        write(&file, text.expose_secret(), 0o600)?;
        made.changes
            .push(format!("{}: a key for the role {role}", file.display()));
    }
    made.lets_in = after.lets_in;
    for (file, text) in [
        (server.join("roles.conf"), ROLES_CONF.to_owned()),
        (path, after.text()),
    ] {
        if read(&file)?.as_deref() != Some(&text) {
            write(&file, &text, 0o644)?;
            made.changes.push(format!("{}: written", file.display()));
        }
    }
    Ok(made)
}

/// What a key file holds.
enum Found {
    NoFile,
    NoKey,
    Key(String),
}

fn public(file: &Path) -> Result<Found, AccessError> {
    let Some(text) = read(file)? else {
        return Ok(Found::NoFile);
    };
    let pair = KeyFile::parse(&text)
        .and_then(|key| KeyPair::from_seed(key.seed.expose_secret()).ok())
        .filter(|pair| pair.key_pair_type() == KeyPairType::User);
    Ok(match pair {
        Some(pair) => Found::Key(pair.public_key()),
        None => Found::NoKey,
    })
}

/// A file's text; `None` when there is no such file.
fn read(path: &Path) -> Result<Option<String>, AccessError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path, "read")(source)),
    }
}

fn directory(path: &Path, mode: u32) -> Result<(), AccessError> {
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(mode).create(path);
    made.map_err(failed(path, "written"))
}

/// Replaces a file as a whole, and readable only by whom it is for from the first moment.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), AccessError> {
    let beside = path.with_extension("part");
    let put = || {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    put().map_err(failed(path, "written"))
}

fn failed(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> AccessError {
    let path = path.to_owned();
    move |source| AccessError::File { path, what, source }
}
