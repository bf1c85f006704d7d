//! A view as it is sent: JSON, with a tag of what it says and the moment as of which it says so.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;

use super::super::etag;
use super::super::pieces::{Pieces, Written};
use super::view::View;

/// Says on every answer, also on those without a body, as of when it is true.
const AS_OF: HeaderName = HeaderName::from_static("racktick-as-of");

/// A view, as JSON. Cheap to clone.
#[derive(Debug, Clone)]
pub(in super::super) struct Told {
    as_of: Option<Timestamp>,
    tag: HeaderValue,
    body: Written,
}

impl Told {
    pub(super) fn of<T: View>(view: T) -> rusqlite::Result<Self> {
        let told = Self::try_of(view);
        told.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }

    fn try_of<T: View>(mut view: T) -> serde_json::Result<Self> {
        // As of when it is true changes all the time, and what is true does not.
        let moment = *view.moment();
        view.set_moments(T::Moment::default());
        let timeless = written(&view)?;
        let tag = etag::weak(&timeless);
        let begun = match T::BEGINS_WITH {
            // It may be long: it is not written twice.
            Some(field) => timeless.begun(
                &beginning(field, &T::Moment::default())?,
                beginning(field, &moment)?,
            ),
            None => None,
        };
        let body = match begun {
            Some(body) => body,
            None => {
                view.set_moments(moment);
                written(&view)?
            }
        };
        Ok(Self {
            as_of: moment.into(),
            tag,
            body,
        })
    }
}

fn written(view: &impl Serialize) -> serde_json::Result<Written> {
    let mut pieces = Pieces::default();
    serde_json::to_writer(&mut pieces, view)?;
    Ok(pieces.finish())
}

fn beginning(field: &str, moment: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = format!("{{\"{field}\":").into_bytes();
    serde_json::to_writer(&mut text, moment)?;
    Ok(text)
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        // Whoever keeps it asks whether it is still so, and is asked for the token then.
        let keep = HeaderValue::from_static("private, no-cache");
        let headers = [
            (CONTENT_TYPE, kind),
            (CACHE_CONTROL, keep),
            (ETAG, self.tag),
        ];
        let mut answer = (headers, self.body).into_response();
        let as_of = self.as_of.map(|at| HeaderValue::try_from(at.to_string()));
        if let Some(Ok(as_of)) = as_of {
            answer.headers_mut().insert(AS_OF, as_of);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{AsOf, List, Page};

    #[test]
    fn an_answer_is_what_the_view_is_as_json() {
        let list = |sequence| List {
            as_of: AsOf {
                at: Some(Timestamp::UNIX_EPOCH),
                sequence,
                ..AsOf::default()
            },
            page: Page {
                items: vec![7; 50_000],
                next: None,
            },
        };
        let told = |sequence| Told::of(list(sequence)).unwrap();
        let text: Vec<u8> = told(7).body.pieces().flatten().copied().collect();
        assert!(text == serde_json::to_vec(&list(7)).unwrap());
        assert_eq!(told(7).tag, told(8).tag);
    }
}
