//! The lab over real HTTP.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod agents;
mod client;
mod control;
mod cut_short;
mod faults;
mod jobs;
mod life;
mod logs;
mod maas_auth;
mod maas_machines;
mod maas_operations;
mod odd;
mod rights;
mod tokens;
