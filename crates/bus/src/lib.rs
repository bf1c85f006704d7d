#![doc = include_str!("../README.md")]

mod bucket;
mod connect;
pub mod dead;
mod error;
mod publish;
mod pull;
mod read;
pub mod runtime;
mod stored;
pub mod topology;
mod wire;

pub use bucket::{Bucket, Change, Changes, Entry, Written};
pub use connect::{Bus, Connect, Credentials, MINIMUM_SERVER, Version, without_passwords};
pub use error::BusError;
pub use publish::{At, Batch, LARGEST_BATCH, Outgoing, Published};
pub use read::{Reader, Start};
pub use stored::Stored;
