//! One file per command.

pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod cycle;
pub(crate) mod dashboard;
pub(crate) mod demo;
pub(crate) mod dlq;
pub(crate) mod doctor;
pub(crate) mod events;
mod evidence;
pub(crate) mod history;
pub(crate) mod job;
pub(crate) mod lab;
pub(crate) mod machine;
pub(crate) mod plan;
pub(crate) mod rack;
pub(crate) mod recover;
pub(crate) mod scheduler;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod tick;
pub(crate) mod watch;
pub(crate) mod why;
pub(crate) mod worker;
