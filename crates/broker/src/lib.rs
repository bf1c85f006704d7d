#![doc = include_str!("../README.md")]

mod fetch;
mod pin;
mod server;

pub use fetch::{Binary, FetchError};
pub use pin::VERSION;
pub use server::{Options, Port, Server, StartError};
