//! Pages, live updates, the API and actions over real sockets, from a history file with a story in it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod actions;
mod api;
mod claims;
mod dashboard;
mod document;
mod events;
mod evidence;
mod live;
mod metrics;
mod pages;
mod problems;
#[path = "../support/mod.rs"]
mod support;
mod system;
mod verdicts;
