#![doc = include_str!("../README.md")]

mod dashboard;
mod lab_client;
pub mod nats;
mod observe;
mod process;
mod slots;
mod system;

pub use dashboard::Dashboard;
pub use lab_client::LabClient;
pub use observe::machines;
pub use process::{Ended, Process};
pub use system::{SOON, System};
