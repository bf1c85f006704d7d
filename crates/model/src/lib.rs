#![doc = include_str!("../README.md")]

pub mod body;
pub mod cycle;
pub mod dead;
pub mod event;
pub mod id;
pub mod machine;
pub mod name;
pub mod outcome;
pub mod policy;
pub mod rack;
pub mod record;
pub mod schedule;
pub mod speed;
pub mod subject;
pub mod tag;
pub mod task;
