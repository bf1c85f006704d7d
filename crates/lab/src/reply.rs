//! Answers, in the forms the two services use.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) const JSON: &str = "application/json";
pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const MAAS_JSON: &str = "application/json; charset=utf-8";
pub(crate) const MAAS_TEXT: &str = "text/plain; charset=utf-8";

/// What a handler answers. An `Err` is an answer as well: the early one.
pub(crate) type Answer = Result<Reply, Reply>;

/// One HTTP answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// 200 as Flask writes JSON: compact, keys in order, a final line end.
    pub(crate) fn json(value: &impl Serialize) -> Self {
        Self::json_with(200, value)
    }

    pub(crate) fn json_with(status: u16, value: &impl Serialize) -> Self {
        Self::new(status, JSON, encoded(value, true))
    }

    /// Text as Flask writes it: as HTML.
    pub(crate) fn html(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, HTML, text.into())
    }

    /// 204 of a JSON endpoint: no body, but the content type stays.
    pub(crate) fn no_content() -> Self {
        Self::new(204, JSON, "")
    }

    /// What Testflinger's framework makes of an abort.
    pub(crate) fn abort(status: u16, message: impl Into<Value>) -> Self {
        Self::json_with(status, &json!({"detail": {}, "message": message.into()}))
    }

    /// What Testflinger's framework makes of input that breaks its schema.
    pub(crate) fn invalid(place: &str, messages: Value) -> Self {
        Self::json_with(
            422,
            &json!({"detail": {place: messages}, "message": "Validation error"}),
        )
    }

    /// What Testflinger answers for an exception nobody handles.
    pub(crate) fn unhandled(exception: &str) -> Self {
        Self::html(500, format!("Unhandled Exception: {exception}\n"))
    }

    /// 200 as MAAS writes JSON.
    pub(crate) fn maas_json(value: &impl Serialize) -> Self {
        Self::new(200, MAAS_JSON, encoded(value, false))
    }

    /// MAAS's errors that are objects of field and messages.
    pub(crate) fn maas_field(field: &str, message: impl Into<String>) -> Self {
        Self::new(
            400,
            MAAS_JSON,
            encoded(&json!({field: [message.into()]}), false),
        )
    }

    pub(crate) fn maas_text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, MAAS_TEXT, text.into())
    }
}

fn encoded(value: &impl Serialize, line_end: bool) -> Vec<u8> {
    // The lab's views have string keys and finite numbers only, so writing them cannot fail.
    let mut body = serde_json::to_vec(value).expect("a view of the lab is valid JSON");
    if line_end {
        body.push(b'\n');
    }
    body
}

/// A time as Testflinger writes it: whole seconds with `Z`.
pub(crate) fn written(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
