#![doc = include_str!("../README.md")]

mod metrics;
mod serve;
mod tally;
mod traces;

pub use metrics::{Metrics, Remote, SchedulerMetrics, WorkerMetrics};
pub use serve::serve;
pub use tally::{PassTally, TaskTally};
pub use traces::{BadCollector, Patience, TraceLayer, Traces};
