#![doc = include_str!("../README.md")]

pub mod broker;
pub mod claims;
pub mod evidence;
pub mod follow;
pub mod history;
pub mod living;
mod poll;
pub mod portable;
pub mod records;
pub mod schedules;
pub mod tokens;
pub mod views;
pub mod web;
pub mod words;
