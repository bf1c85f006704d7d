#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! The whole system: each story has its own broker, lab, processes and folders.

mod absence;
mod bad_payloads;
#[cfg(target_os = "linux")]
mod broken_disk;
mod broker_crash;
mod chaos;
mod cluster;
mod dashboard;
mod drain;
mod fault_points;
mod held_up;
mod losses;
mod main_job;
mod no_room;
mod odd_machines;
mod repeats;
mod roles;
mod secrets;
mod strangers;
