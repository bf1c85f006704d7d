//! The handlers against the job protocol, on a real broker and a pretend lab: killed at every await, run twice, every
//! message to the broker and every outside call failed in turn. `crash_points` says which test drives which row of the protocol's table.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod broker_requests;
mod cancel;
mod crash_points;
mod doubled;
mod evidence;
mod submit;
mod submit_answers;
mod submit_doubt;
mod submit_recalled;
mod tick;
mod tick_behind;
mod tick_names;
mod tick_slots;
mod tick_trouble;
mod upgrade;
mod watch;
mod watch_blind;
mod watch_deadline;
mod watch_glance;
mod watch_verdicts;
mod world;
