#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Every role against what it may do and what it may not, on a real server with the files that are shipped and made.

mod denied;
mod entries;
mod files;
mod permissions;
mod probe;
mod work;
