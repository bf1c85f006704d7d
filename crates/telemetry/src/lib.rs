#![doc = include_str!("../README.md")]

mod metrics;
mod serve;

pub use metrics::{Metrics, Remote, SchedulerMetrics, WorkerMetrics};
pub use serve::serve;
