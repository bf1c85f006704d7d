use std::fmt;
use std::time::Duration;

/// An answer whose status is not the one hoped for.
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// How long the server asks us to wait.
    pub retry_after: Option<Duration>,
    /// Whether the body is a page for a browser: then something between us and the server spoke.
    pub html: bool,
    /// Whether the whole body was read. False for one that was cut, too long, or left unread on purpose.
    pub complete: bool,
    pub(crate) excerpt: String,
    pub(crate) body: Vec<u8>,
}

impl Refusal {
    /// The beginning of the body in one printable line, without our secrets. Empty when there was none.
    pub fn excerpt(&self) -> &str {
        &self.excerpt
    }

    /// The body, if all of it is there and it is JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        if self.complete {
            serde_json::from_slice(&self.body).ok()
        } else {
            None
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        match (self.html, self.excerpt.as_str()) {
            (true, _) => f.write_str(" with a web page; is a proxy or a login in between?"),
            (false, "") => Ok(()),
            (false, excerpt) => write!(f, ": {excerpt}"),
        }
    }
}

impl fmt::Debug for Refusal {
    // The raw body stays out: it may hold what the excerpt hides.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("html", &self.html)
            .field("excerpt", &self.excerpt)
            .finish_non_exhaustive()
    }
}
