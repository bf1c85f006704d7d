use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::root::Root;

/// Sees how calls go.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A call is over: what was asked for, and how it ended, which is `2xx` to `5xx` for an answer that could be read
    /// whatever it says, and otherwise the [cause](Error::cause) of its error. `took` runs from the request to the end
    /// of the answer.
    fn called(&self, endpoint: &'static str, class: &'static str, took: Duration);
}

/// One call, from its request to the end of its answer. It is told when it is dropped, unless nothing came of it.
pub(crate) struct Call {
    observer: Option<Arc<dyn Observer>>,
    endpoint: &'static str,
    begun: Instant,
    class: Option<&'static str>,
    span: tracing::Span,
}

impl Call {
    pub(crate) fn begin(
        observer: Option<Arc<dyn Observer>>,
        endpoint: &'static str,
        root: &Root,
    ) -> Self {
        let span = tracing::debug_span!(
            "http",
            endpoint,
            server = root.server(),
            outcome = tracing::field::Empty
        );
        Self {
            span,
            observer,
            endpoint,
            begun: Instant::now(),
            class: None,
        }
    }

    /// The head of the answer is there.
    pub(crate) fn answered(&mut self, status: u16) {
        self.class = Some(match status {
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "other",
        });
    }

    /// Notes an error, which is what the call ended with. A refusal has its status's class already.
    pub(crate) fn ended<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) | Err(Error::Status { .. }) => {}
            Err(error) => self.class = Some(error.cause()),
        }
        result
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(class) = self.class {
            self.span.record("outcome", class);
        }
        if let (Some(observer), Some(class)) = (&self.observer, self.class) {
            observer.called(self.endpoint, class, self.begun.elapsed());
        }
    }
}
