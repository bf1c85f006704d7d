#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Three real servers, with everything on all of them.

mod behind;
mod faults;
mod load;
mod replicas;
