//! What the views say.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod actions;
mod lab;
mod places;
mod several;
#[path = "../support/mod.rs"]
mod support;
mod trends;
