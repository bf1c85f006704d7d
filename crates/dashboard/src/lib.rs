#![doc = include_str!("../README.md")]

pub mod follow;
pub mod history;
pub mod schedules;
pub mod views;
pub mod web;
