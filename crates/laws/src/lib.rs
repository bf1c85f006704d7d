#![doc = include_str!("../README.md")]

mod answers;
mod bodies;
mod configuration;
mod names;

pub use answers::{agents, machines, result};
pub use bodies::{event, record, task, tick};
pub use configuration::configuration;
pub use names::subject;

/// A law.
pub type Law = fn(&[u8]);

/// Every law by the name of its fuzz target, which is also the folder of its corpus.
pub const LAWS: &[(&str, Law)] = &[
    ("tick", tick),
    ("task", task),
    ("event", event),
    ("record", record),
    ("machines", machines),
    ("agents", agents),
    ("result", result),
    ("configuration", configuration),
    ("subject", subject),
];
