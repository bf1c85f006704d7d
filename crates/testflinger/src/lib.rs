#![doc = include_str!("../README.md")]

mod agent;
mod client;
mod date;
mod document;
mod error;
mod job;
mod logs;
mod submit;
mod token;

pub use agent::Agent;
pub use client::{Settings, Testflinger, Version};
pub use document::JobDocument;
pub use error::TestflingerError;
pub use job::{Belonging, Cancel, JobResult, JobSummary, Phase, Presence};
pub use logs::{Log, Logged};
pub use rest::{BuildError, Class, Limits, Root, RootError};
pub use submit::SubmitError;
pub use token::{Credentials, CredentialsError};

/// The public server, which Testflinger's own command line uses, too, when nothing else is set.
pub const DEFAULT_SERVER: &str = "https://testflinger.canonical.com";
