#![doc = include_str!("../README.md")]

mod cluster;
mod fetch;
mod pin;
mod server;

pub use cluster::{Cluster, NODES, node_name};
pub use fetch::{Binary, FetchError};
pub use pin::VERSION;
pub use server::{Options, Port, Server, StartError};
