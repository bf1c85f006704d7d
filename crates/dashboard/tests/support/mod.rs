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

/// All rows of all tables but the position, in the order of their values.
pub fn rows(file: &Path) -> Vec<(&'static str, Vec<String>)> {
    let connection = Connection::open(file).unwrap();
    [
        "events",
        "cycles",
        "retries",
        "decisions",
        "jobs",
        "machines",
        "members",
    ]
    .into_iter()
    .map(|table| {
        let mut statement = connection
            .prepare(&format!("SELECT * FROM {table}"))
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

/// Overwrites what the file holds in this part of its pages, but for the first one, which says what the file is.
pub fn spoil(file: &Path, part: impl Fn(usize, usize) -> bool) {
    const PAGE: usize = 4096;
    // Whoever closes last brings everything into the file itself.
    let connection = Connection::open(file).unwrap();
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .unwrap();
    connection.close().unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    let pages = bytes.len() / PAGE;
    for (number, page) in bytes.chunks_mut(PAGE).enumerate().skip(1) {
        if part(number, pages) {
            page.fill(0x5a);
        }
    }
    std::fs::write(file, bytes).unwrap();
}
