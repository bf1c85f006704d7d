//! Data on stdout: a table for people, JSON for programs. Talk goes to stderr. Nothing leaves here that a terminal would
//! obey, except what the program itself says with [`coloured_line`].

use std::borrow::Cow;
use std::error::Error;
use std::io::{IsTerminal, Write};

use comfy_table::{Cell, Color, ContentArrangement, Table, TableStyle};
use jiff::Timestamp;
use serde::Serialize;

use crate::args::Format;
use crate::plain;
use crate::tone::{self, Tone};

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
        self.print_coloured(data, |data| plain::lines(&table(data)).into_owned())
    }

    /// The same with a table that may have colours. What strangers said in it has to be plain already.
    pub(crate) fn print_coloured<T: Serialize>(
        self,
        data: &T,
        table: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => plain::lines(&serde_json::to_string_pretty(data)?).into_owned(),
            Format::Table => table(data),
        };
        match text.is_empty() {
            true => Ok(()),
            false => coloured_line(&text),
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

/// What stands in one place of a table, and in which tone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Toned {
    text: String,
    tone: Tone,
}

impl Toned {
    pub(crate) fn new(tone: Tone, text: impl ToString) -> Self {
        Self {
            text: text.to_string(),
            tone,
        }
    }
}

impl<T: ToString> From<T> for Toned {
    fn from(text: T) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// A table with a head; nothing at all without rows. A cell is one line: a stranger's line end would look like one more
/// row. Where cells have tones, it is to be printed as [`coloured_line`] does.
pub(crate) fn table<R, C>(head: &[&str], rows: R) -> String
where
    R: IntoIterator<Item = Vec<C>>,
    C: Into<Toned>,
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
    C: Into<Toned>,
{
    filled(Table::new(), rows, plain::lines)
}

fn filled<R, C>(mut table: Table, rows: R, plain: fn(&str) -> Cow<'_, str>) -> String
where
    R: IntoIterator<Item = Vec<C>>,
    C: Into<Toned>,
{
    table.load_style(TableStyle::new());
    table.set_content_arrangement(if std::io::stdout().is_terminal() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    let colours = tone::are_colours_wanted();
    for row in rows {
        table.add_row(row.into_iter().map(|toned| {
            let toned: Toned = toned.into();
            let cell = Cell::new(plain(&toned.text));
            match toned.tone {
                _ if !colours => cell,
                Tone::Plain => cell,
                Tone::Good => cell.fg(Color::DarkGreen),
                Tone::Warn => cell.fg(Color::DarkYellow),
                Tone::Bad => cell.fg(Color::DarkRed),
                Tone::Quiet => cell.fg(Color::DarkGrey),
            }
        }));
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

/// How long ago, or in how long, by its two largest units: `2h 5m ago`, `in 3d 1h`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    let length = length(seconds.unsigned_abs());
    match seconds {
        0 => "now".into(),
        1.. => format!("{length} ago"),
        _ => format!("in {length}"),
    }
}

/// A time span by its two largest units.
pub(crate) fn length(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let largest = units.iter().position(|(unit, _)| seconds >= *unit);
    let (large, rest) = units[largest.unwrap_or(3)..].split_at(1);
    let (unit, word) = large[0];
    let left = seconds % unit;
    let first = format!("{}{word}", seconds / unit);
    match rest.first() {
        Some((unit, word)) if left / unit > 0 => format!("{first} {}{word}", left / unit),
        _ => first,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_by_its_two_largest_units() {
        for (seconds, want) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3661, "1h 1m"),
            (86_399, "23h 59m"),
            (86_405, "1d"),
            (1_000_000, "11d 13h"),
        ] {
            assert_eq!(length(seconds), want);
        }
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(ago(now, now), "now");
        let later = Timestamp::from_second(1_800_000_090).unwrap();
        assert_eq!(ago(later, now), "in 1m 30s");
        assert_eq!(ago(now, later), "1m 30s ago");
    }
}
