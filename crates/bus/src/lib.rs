#![doc = include_str!("../README.md")]

pub mod access;
mod bucket;
mod connect;
pub mod dead;
mod deaf;
mod denied;
mod error;
mod listen;
mod objects;
mod publish;
mod pull;
mod read;
pub mod runtime;
pub mod service;
mod stored;
mod storing;
pub mod topology;
mod turn;
mod wire;

pub use bucket::{Bucket, Change, Changes, Entry, Head, Written};
pub use connect::{
    Bus, Certificate, Connect, Credentials, MINIMUM_SERVER, Version, without_passwords,
};
pub use denied::Act;
pub use error::BusError;
pub use listen::{Heard, Listener};
pub use objects::{Object, Objects};
pub use publish::{At, Batch, LARGEST_BATCH, Outgoing, Published};
pub use read::{Reader, Start, StreamState};
pub use stored::Stored;
