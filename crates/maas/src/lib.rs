#![doc = include_str!("../README.md")]

mod client;
mod error;
mod key;
mod machine;
mod url;

pub use client::{Maas, Settings, User, Version};
pub use error::MaasError;
pub use key::{ApiKey, KeyError};
pub use machine::Machine;
pub use rest::{BuildError, Class, Limits};
pub use url::{MaasUrl, UrlError};
