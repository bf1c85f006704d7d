//! What a request says, read; or a [`Problem`] that names what is wrong with it.

use std::fmt::Display;
use std::str::FromStr;

use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The longest form, in bytes: no field of any may be longer than a kilobyte or two.
pub(super) const LONGEST_FORM: usize = 64 << 10;

/// How much of a text is repeated to whoever sent it, in characters.
const REPEATED: usize = 64;

pub(super) fn bad(why: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, why)
}

/// What somebody sent, to be told to them: its beginning, and nothing that cannot be seen.
pub(super) fn repeated(text: &str) -> String {
    let start: String = text.chars().take(REPEATED).collect();
    let more = if start.len() < text.len() { "..." } else { "" };
    format!("`{}{more}`", start.escape_debug())
}

/// The one part of the path that the route leaves open, as what it stands for.
pub(super) struct Named<T>(pub(super) T);

/// What may stand in a path.
pub(super) trait Part: Sized + Send {
    /// It, or what is wrong with the text.
    fn read(text: String) -> Result<Self, String>;
}

impl<S: Send + Sync, T: Part> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = match Path::from_request_parts(parts, state).await {
            Ok(Path(text)) => text,
            // The router lets nothing else through to a route.
            Err(_) => {
                let path = repeated(parts.uri.path());
                return Err(bad(format!(
                    "{path} is no address: what stands in it with `%` is no UTF-8"
                )));
            }
        };
        T::read(text).map(Self).map_err(bad)
    }
}

impl Part for RackName {
    fn read(text: String) -> Result<Self, String> {
        Self::new(text).map_err(|error| error.to_string())
    }
}

impl Part for MachineName {
    fn read(text: String) -> Result<Self, String> {
        Self::new(text).map_err(|error| error.to_string())
    }
}

impl Part for CycleId {
    fn read(text: String) -> Result<Self, String> {
        id("a cycle", &text)
    }
}

impl Part for JobId {
    fn read(text: String) -> Result<Self, String> {
        id("a job", &text)
    }
}

/// Whatever it is.
impl Part for String {
    fn read(text: String) -> Result<Self, String> {
        Ok(text)
    }
}

/// The number of a dead letter.
pub(super) struct Letter(pub(super) u64);

impl Part for Letter {
    fn read(text: String) -> Result<Self, String> {
        let number = text.parse().map(Self);
        number.map_err(|_| {
            let text = repeated(&text);
            format!("{text} is no number of a dead letter: `/system` lists them with theirs")
        })
    }
}

fn id<T: FromStr<Err: Display>>(of: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|error| format!("{} is no id of {of}: {error}", repeated(text)))
}

/// What stands behind the `?`.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => Err(not_asked(parts, &error)),
        }
    }
}

/// Which parameter cannot be read, with its value, and why.
fn not_asked(parts: &Parts, error: &QueryRejection) -> Problem {
    let said = error.body_text();
    let why = said.split_once(": ").map_or(said.as_str(), |(_, why)| why);
    let all = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let all = all.map(|Query(all)| all).unwrap_or_default();
    let named = why.split_once(": ").and_then(|(name, why)| {
        let (name, value) = all.iter().find(|(known, _)| known == name)?;
        Some((name, value, why))
    });
    bad(match named {
        // Some say themselves what they are not.
        Some((name, _, why)) if why.starts_with('`') => format!("`{name}`: {why}"),
        Some((name, value, why)) => format!("`{name}`: {} cannot be read: {why}", repeated(value)),
        None => format!("what stands behind the `?` cannot be read: {why}"),
    })
}

/// What a form says.
pub(super) struct Posted<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Posted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Form::from_request(request, state).await {
            Ok(Form(said)) => Ok(Self(said)),
            Err(error) => Err(not_posted(&error)),
        }
    }
}

fn not_posted(error: &FormRejection) -> Problem {
    let status = error.status();
    let says = match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            format!("the form is too long: at most {LONGEST_FORM} bytes are read")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            "send a form, as `Content-Type: application/x-www-form-urlencoded`".to_owned()
        }
        _ => {
            let said = error.body_text();
            let why = said.split_once(": ").map_or(said.as_str(), |(_, why)| why);
            format!("the form cannot be read: {why}")
        }
    };
    Problem::new(status, says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_repeated_as_far_as_it_can_be_seen() {
        assert_eq!(repeated("a\n\u{202e}b"), "`a\\n\\u{202e}b`");
        let long = repeated(&"x".repeat(5000));
        assert_eq!(long, format!("`{}...`", "x".repeat(REPEATED)));
    }
}
