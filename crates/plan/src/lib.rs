#![doc = include_str!("../README.md")]

pub mod arm;
pub mod decide;
pub mod doubled;
mod exclude;
pub mod inputs;
pub mod look;
pub mod policy;
pub mod retry;
pub mod shrink;
pub mod slots;
pub mod speed;
pub mod spread;
pub mod verdict;
