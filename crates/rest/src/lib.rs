#![doc = include_str!("../README.md")]

mod answer;
mod body;
mod call;
mod ends;
mod error;
mod excerpt;
mod guard;
mod hiding;
mod http;
mod json;
mod limits;
mod log;
mod refusal;
mod retry_after;
mod root;
mod secrets;
mod short;

pub use answer::Answer;
pub use call::Observer;
pub use error::{Class, Error};
pub use guard::Guard;
pub use http::{BuildError, Http, Settings};
pub use json::{List, Object};
pub use limits::{Deadline, Limit, Limits};
pub use refusal::Refusal;
pub use reqwest::RequestBuilder;
pub use reqwest::header;
pub use root::{Root, RootError};
pub use secrets::is_hidden;
pub use short::Short;
