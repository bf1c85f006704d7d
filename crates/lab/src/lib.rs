#![doc = include_str!("../README.md")]

mod call;
mod chance;
mod config;
mod control;
mod dispatch;
mod environment;
mod error;
mod fault;
mod form;
mod life;
mod maas;
mod reply;
mod server;
mod stats;
mod testflinger;
mod wire;
mod world;

pub use config::{Client, LabConfig, ODDITIES, Oddity, Role};
pub use control::{AgentChange, AgentView, JobView, MachineChange, MachineView};
pub use environment::{environment, shell_quoted};
pub use error::LabError;
pub use fault::{Fault, FaultKind};
pub use life::Outcome;
pub use server::Lab;
pub use stats::Stats;
pub use world::job::Phase;
pub use world::machine::Status;
