//! The file itself: opened, migrated, or put aside and made anew.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::{HistoryError, is_damage};
use super::tally;

/// Steps from one version of the file to the next, the oldest first. The version is how many were taken.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("evidence.sql"),
    include_str!("numbers.sql"),
    include_str!("actions.sql"),
    include_str!("counts.sql"),
    include_str!("whole.sql"),
];

/// What older files count is counted anew.
const COUNTED_BY: usize = 5;

/// Tells the file from other files of SQLite's: "rkth".
const APPLICATION: i32 = 0x726b_7468;

/// How long one waits for another that has the file.
const BUSY: Duration = Duration::from_secs(10);

/// Pages that one connection keeps in memory, in KiB.
const WRITER_CACHE: i32 = 32 * 1024;
const READER_CACHE: i32 = 4 * 1024;

/// How many pages the journal gathers before they go into the file. Many events change the same pages.
const JOURNAL: i32 = 8 * 1024;

/// Statements that one connection keeps prepared: more than the views have.
const STATEMENTS: usize = 64;

/// A file that cannot be gone on with.
enum Unusable {
    /// Damaged, of a later version, or something else altogether.
    Content(String),
    Error(rusqlite::Error),
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        if is_damage(&error) {
            Self::Content(error.to_string())
        } else {
            Self::Error(error)
        }
    }
}

/// Opens the file for writing, and makes it when it is not there. One that cannot be gone on with is put aside under
/// another name, and a new one takes its place.
pub(crate) fn open(path: &Path) -> Result<Connection, HistoryError> {
    let fail = |source| HistoryError::Open {
        path: path.to_owned(),
        source,
    };
    match try_open(path) {
        Ok(connection) => Ok(connection),
        Err(Unusable::Error(error)) => Err(fail(error)),
        Err(Unusable::Content(why)) => {
            let aside = put_aside(path)?;
            tracing::warn!(
                file = %path.display(),
                aside = %aside.display(),
                "the history file cannot be gone on with and was put aside; a new one is made from the event stream: {why}"
            );
            try_open(path).map_err(|unusable| match unusable {
                Unusable::Error(error) => fail(error),
                Unusable::Content(why) => HistoryError::Unreadable {
                    path: path.to_owned(),
                    why,
                },
            })
        }
    }
}

/// Whether a file can be used as it is, perhaps beside a dashboard that is at work on it: it is neither brought up nor
/// put aside.
pub(crate) fn usable(path: &Path) -> Result<(), HistoryError> {
    if !path.exists() {
        return Err(HistoryError::Missing {
            path: path.to_owned(),
        });
    }
    let version = open_to_read(path)
        .map_err(Unusable::from)
        .and_then(|connection| check(&connection));
    let why = match version {
        Ok(version) if version == MIGRATIONS.len() => return Ok(()),
        Ok(version) => format!(
            "it has version {version}, and this racktick goes on with version {}",
            MIGRATIONS.len()
        ),
        Err(Unusable::Content(why)) => why,
        Err(Unusable::Error(source)) => {
            return Err(HistoryError::Open {
                path: path.to_owned(),
                source,
            });
        }
    };
    Err(HistoryError::NotAsItIs {
        path: path.to_owned(),
        why,
    })
}

fn try_open(path: &Path) -> Result<Connection, Unusable> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    let version = check(&connection)?;
    // Readers go on while something is written; what a crash of the machine takes is followed once more.
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", JOURNAL, |_| Ok(()))?;
    if version < MIGRATIONS.len() {
        bring_up(&mut connection, version)?;
    }
    Ok(connection)
}

/// Brings a file up from an earlier version, all at once.
fn bring_up(connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in &MIGRATIONS[version..] {
        transaction.execute_batch(step)?;
    }
    if version < COUNTED_BY {
        tally::count_all(&transaction)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    transaction.commit()
}

/// The file's version, if it is one of ours that this program knows.
fn check(connection: &Connection) -> Result<usize, Unusable> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (application, version, tables) != (0, 0, 0) {
        return Err(Unusable::Content(
            "it is no history file of racktick's".into(),
        ));
    }
    // Damage shows where it is read. The tops of all trees are few; the rest shows when it is used.
    let names = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    for name in names {
        connection.query_row(
            &format!("SELECT count(*) FROM (SELECT * FROM {name} LIMIT 1)"),
            [],
            |_| Ok(()),
        )?;
    }
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(Unusable::Content(format!(
            "it has version {version}, and this racktick knows versions up to {}",
            MIGRATIONS.len()
        ))),
    }
}

/// Opens the file for reading alone.
pub(crate) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Moves a file and what belongs to it to a name that nothing has yet.
pub(crate) fn put_aside(path: &Path) -> Result<PathBuf, HistoryError> {
    let with = |path: &Path, ending: &str| {
        let mut name = OsString::from(path);
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = (1..)
        .map(|number| with(path, &format!(".aside-{number}")))
        .find(|aside| !aside.exists())
        .expect("numbers do not end");
    // The journal first: a database that is opened without its journal would lack what that holds.
    for ending in ["-wal", "-shm", ""] {
        let from = with(path, ending);
        if !from.exists() {
            continue;
        }
        std::fs::rename(&from, with(&aside, ending)).map_err(|source| HistoryError::InTheWay {
            path: path.to_owned(),
            aside: aside.clone(),
            source,
        })?;
    }
    Ok(aside)
}
