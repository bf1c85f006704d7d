//! The log: on stderr, text for a terminal and JSON lines otherwise.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{fmt, registry};

use crate::config::{Log, LogFormat};

/// Starts the log. A command that talks to a person logs warnings only, unless a filter was asked for.
pub(crate) fn start(log: &Log, is_role: bool) {
    let filter = if is_role || log.is_set {
        log.filter.as_str()
    } else {
        "warn"
    };
    // The configuration was checked; a filter that cannot be read would have ended the program.
    let filter: Targets = filter.parse().unwrap_or_default();
    let is_terminal = std::io::stderr().is_terminal();
    let is_json = match log.format {
        LogFormat::Auto => is_role && !is_terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    // NO_COLOR is obeyed by the layer's own default; what is no terminal never gets colours.
    let layer = fmt::layer().with_writer(std::io::stderr);
    if is_json {
        registry()
            .with(layer.json().flatten_event(true).with_filter(filter))
            .init();
    } else if is_terminal {
        registry().with(layer.with_filter(filter)).init();
    } else {
        registry()
            .with(layer.with_ansi(false).with_filter(filter))
            .init();
    }
}
