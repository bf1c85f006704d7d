//! Data on stdout: a table for people, JSON for programs. Talk goes to stderr. Nothing leaves here that a terminal would
//! obey, except what the program itself says with [`coloured_line`].

use std::borrow::Cow;
use std::error::Error;
use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, TableStyle};
use jiff::Timestamp;
use serde::Serialize;

use crate::args::Format;
use crate::plain;

/// Where data goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether a program reads the data.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints data: the value itself as JSON, or the table that `table` makes of it.
    pub(crate) fn print<T: Serialize>(
        self,
        data: &T,
        table: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(data)?,
            Format::Table => table(data),
        };
        match text.is_empty() {
            true => Ok(()),
            false => line(&text),
        }
    }

    /// Prints data that a person was told already: only programs get it.
    pub(crate) fn print_json<T: Serialize>(self, data: &T) -> anyhow::Result<()> {
        match self.format {
            Format::Json => self.print(data, |_| String::new()),
            Format::Table => Ok(()),
        }
    }
}

/// The reader of stdout went away (`| head`), which is its right and no failure.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(crate) struct ReaderGone;

/// Writes a text to stdout, and a line end.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    coloured_line(&plain::lines(text))
}

/// Writes a text to stdout as it is, and a line end. What strangers said in it has to be plain already.
pub(crate) fn coloured_line(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        result => Ok(result?),
    }
}

/// A table with a head; nothing at all without rows. A cell is one line: a stranger's line end would look like one more
/// row.
pub(crate) fn table<R, C>(head: &[&str], rows: R) -> String
where
    R: IntoIterator<Item = Vec<C>>,
    C: ToString,
{
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return String::new();
    }
    let mut table = Table::new();
    table.set_header(head.iter().map(|word| word.to_uppercase()));
    filled(table, rows, plain::line)
}

/// Names and values, one pair a row. A value may have several lines.
pub(crate) fn pairs<R, C>(rows: R) -> String
where
    R: IntoIterator<Item = Vec<C>>,
    C: ToString,
{
    filled(Table::new(), rows, plain::lines)
}

fn filled<R, C>(mut table: Table, rows: R, plain: fn(&str) -> Cow<'_, str>) -> String
where
    R: IntoIterator<Item = Vec<C>>,
    C: ToString,
{
    table.load_style(TableStyle::new());
    table.set_content_arrangement(if std::io::stdout().is_terminal() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(&cell.to_string()).into_owned()));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A time to the second, as people compare times.
pub(crate) fn time(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .map_or_else(|_| time.to_string(), |time| time.to_string())
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut causes = error.source();
    while let Some(cause) = causes {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        causes = cause.source();
    }
    text
}

/// Talk to the person: stderr, one line.
pub(crate) fn say(text: impl std::fmt::Display) {
    // Nobody can be told that stderr is gone.
    let _ = writeln!(
        std::io::stderr().lock(),
        "{}",
        plain::lines(&text.to_string())
    );
}
