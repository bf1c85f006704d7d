//! The log: on stderr, text for a terminal and JSON lines otherwise. What is logged may quote a stranger, so nothing in
//! a line is a command to a terminal or the beginning of another line.

use std::fmt::{self, Debug};
use std::io::{IsTerminal, stderr};

use telemetry::TraceLayer;
use tracing::field::Field;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry;

use crate::config::{Log, LogFormat};
use crate::plain::{self, JsonLines};

/// Starts the log. A command that talks to a person logs warnings only, unless a filter was asked for.
/// `traces` makes spans of what the log's spans tell, whatever is logged.
pub(crate) fn start(log: &Log, is_role: bool, traces: Option<TraceLayer>) {
    let filter = if is_role || log.is_set {
        log.filter.as_str()
    } else {
        "warn"
    };
    // The configuration was checked; a filter that cannot be read would have ended the program.
    let filter: Targets = filter.parse().unwrap_or_default();
    let filter = filter.and(filter_fn(tells_no_secret));
    let is_terminal = stderr().is_terminal();
    let is_json = match log.format {
        LogFormat::Auto => is_role && !is_terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    if is_json {
        let layer = layer().json().flatten_event(true);
        let layer = layer.with_writer(|| JsonLines(stderr()));
        return registry()
            .with(traces)
            .with(layer.with_filter(filter))
            .init();
    }
    let layer = layer()
        .with_writer(stderr)
        .fmt_fields(debug_fn(text).delimited(" "));
    // NO_COLOR is obeyed by the layer's own default; what is no terminal never gets colours.
    if is_terminal {
        registry()
            .with(traces)
            .with(layer.with_filter(filter))
            .init();
    } else {
        registry()
            .with(traces)
            .with(layer.with_ansi(false).with_filter(filter))
            .init();
    }
}

/// The NATS client writes addresses into its debug lines, with the password that may be in one.
fn tells_no_secret(line: &Metadata<'_>) -> bool {
    !line.target().starts_with("async_nats") || *line.level() <= Level::INFO
}

/// One field of a line of text.
fn text(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let value = plain::line(&value);
    match field.name() {
        "message" => write!(writer, "{value}"),
        name if writer.has_ansi_escapes() => {
            write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}")
        }
        name => write!(writer, "{name}={value}"),
    }
}
