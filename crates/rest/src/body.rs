use bytes::Bytes;
use tokio::time::timeout_at;

use crate::error::Error;
use crate::http::Http;
use crate::limits::{Deadline, Limit, from_now};

/// A body that is read piece by piece under all its limits.
pub(crate) struct Body {
    pub(crate) http: Http,
    pub(crate) response: reqwest::Response,
    pub(crate) deadline: Deadline,
    pub(crate) cap: u64,
    pub(crate) read: u64,
}

impl Body {
    /// The next piece; `None` at the proper end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if self
            .response
            .content_length()
            .is_some_and(|length| length > self.cap - self.read.min(self.cap))
        {
            return Err(self.too_large());
        }
        let silence = self.http.limits().silence;
        let silent = from_now(silence);
        let server = || self.http.server();
        let chunk = match timeout_at(silent.min(self.deadline.at), self.response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => {
                return Err(Error::Cut {
                    server: server(),
                    source: Box::new(error.without_url()),
                });
            }
            Err(_) if silent < self.deadline.at => {
                return Err(Error::Timeout {
                    server: server(),
                    limit: Limit::Silence,
                    after: silence,
                });
            }
            Err(_) => return Err(self.http.late(self.deadline)),
        };
        self.read += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if self.read > self.cap {
            return Err(self.too_large());
        }
        Ok(chunk)
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            server: self.http.server(),
            cap: self.cap,
        }
    }
}
