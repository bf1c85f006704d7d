//! The ledger on a real broker: outcomes from many sides at once, and cancels at every point of a job's life.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod accounts;
mod cancel;
mod desk;
