#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! The scheduler on a real server.

mod arming;
mod bringing_back;
mod leaving_alone;
mod records;
mod sent;
mod slots;
mod stage;
