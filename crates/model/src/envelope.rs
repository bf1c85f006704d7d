//! What every event is wrapped in: CloudEvents 1.0 in structured mode.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::name::{MachineName, RackName};

/// The version of `data`.
const VERSION: u8 = 1;

/// An event before it is wrapped.
pub(crate) struct Content<'a> {
    /// What it tells, with its kind as `type`, as serde tags an enum.
    pub(crate) told: Value,
    pub(crate) id: String,
    pub(crate) rack: &'a RackName,
    /// More that `data` says of every event of this sort.
    pub(crate) of: Option<(&'static str, String)>,
    pub(crate) machine: Option<&'a MachineName>,
    pub(crate) time: Timestamp,
    pub(crate) traceparent: Option<String>,
}

impl Content<'_> {
    /// The body.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let Value::Object(mut data) = self.told.clone() else {
            unreachable!("a tagged enum of structs is an object")
        };
        let kind = data.remove("type");
        data.insert("v".into(), VERSION.into());
        data.insert("rack".into(), self.rack.as_str().into());
        if let Some((name, value)) = &self.of {
            data.insert((*name).into(), value.as_str().into());
        }
        let sent = Sent {
            data,
            datacontenttype: "application/json",
            id: &self.id,
            source: format!("/racktick/racks/{}", self.rack),
            specversion: "1.0",
            subject: self.machine,
            time: self.time,
            traceparent: self.traceparent.as_deref(),
            kind,
        };
        serde_json::to_vec(&sent).expect("an envelope holds only text and what it carries")
    }
}

/// The envelope, in the order of its names, as `data` is.
#[derive(Serialize)]
struct Sent<'a> {
    data: Map<String, Value>,
    datacontenttype: &'static str,
    id: &'a str,
    source: String,
    specversion: &'static str,
    subject: Option<&'a MachineName>,
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<Value>,
}

/// What is read of an event.
#[derive(Deserialize)]
pub(crate) struct Received<D> {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) time: Timestamp,
    pub(crate) data: D,
}
