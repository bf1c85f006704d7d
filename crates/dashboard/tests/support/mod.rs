//! What the tests share.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(missing_docs, unreachable_pub, reason = "nobody else sees it")]

pub mod story;

use std::path::Path;

use dashboard::history::{Batch, Position, Writer};
use jiff::Timestamp;
use model::event::Event;
use rusqlite::Connection;
use rusqlite::types::Value;

/// A moment that no test depends on.
pub fn now() -> Timestamp {
    "2026-11-28T00:00:00Z".parse().unwrap()
}

/// Writes events in batches of this many.
pub fn write(writer: &mut Writer, events: &[Event], at_once: usize) {
    let mut sequence = 0;
    for events in events.chunks(at_once) {
        sequence += events.len() as u64;
        let batch = Batch {
            events: events.to_vec(),
            actions: Vec::new(),
            ignored: 0,
            position: Position {
                stream_created: now(),
                sequence,
                stored_at: None,
            },
        };
        writer.write(&batch, now()).unwrap();
    }
}

/// All rows of all tables but the position, in the order of their values. The numbers of events are given in the order
/// in which they came.
pub fn rows(file: &Path) -> Vec<(&'static str, Vec<String>)> {
    let connection = Connection::open(file).unwrap();
    [
        "events",
        "cycles",
        "retries",
        "decisions",
        "jobs",
        "outcomes",
        "lengths",
        "machines",
        "members",
        "actions",
    ]
    .into_iter()
    .map(|table| {
        let columns = match table {
            "events" => "cycle, machine, kind, word, rack, at",
            _ => "*",
        };
        let mut statement = connection
            .prepare(&format!("SELECT {columns} FROM {table}"))
            .unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<Value> = (0..columns)
                .map(|column| row.get(column).unwrap())
                .collect();
            all.push(format!("{values:?}"));
        }
        all.sort();
        (table, all)
    })
    .collect()
}

/// Overwrites what a table or an index holds, but for its top.
pub fn spoil(file: &Path, name: &str) {
    let connection = Connection::open(file).unwrap();
    let pages: Vec<(usize, usize)> = connection
        .prepare("SELECT pageno, pgsize FROM dbstat WHERE name = ?1 AND path <> '/'")
        .unwrap()
        .query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(!pages.is_empty(), "{name} has only its top");
    // Whoever closes last brings everything into the file itself.
    connection.close().unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    for (page, size) in pages {
        bytes[(page - 1) * size..page * size].fill(0x5a);
    }
    std::fs::write(file, bytes).unwrap();
}
