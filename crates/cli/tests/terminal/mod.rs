//! What an operator sees in a terminal of a lab with machines that fail, that are left alone, and that are at work.

mod ids;
mod status;
mod watch;
mod why;
