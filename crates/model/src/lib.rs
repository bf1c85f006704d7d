#![doc = include_str!("../README.md")]

pub mod action;
pub mod body;
pub mod cycle;
pub mod dead;
mod envelope;
pub mod event;
pub mod evidence;
pub mod id;
pub mod image;
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
pub mod text;
