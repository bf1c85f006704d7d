//! The ledger on a real broker: outcomes from many sides at once, cancels at every point of a job's life, and
//! what people do to racks.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod accounts;
mod actions;
mod cancel;
mod desk;
