use bytes::{Bytes, BytesMut};
use jiff::{SignedDuration, Timestamp};
use reqwest::header::LOCATION;
use serde::de::DeserializeOwned;
use serde_json::de::SliceRead;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use crate::body::Body;
use crate::call::Call;
use crate::error::Error;
use crate::excerpt::is_html;
use crate::hiding;
use crate::http::Http;
use crate::json::{Strings, parse_chunks};
use crate::limits::Deadline;
use crate::refusal::Refusal;
use crate::retry_after::{date, retry_after};

/// Up to this size a body is collected and parsed in place, which takes less than a handover to another thread would.
const SMALL: usize = 512 << 10;

/// How much of a refusal's body is read.
const REFUSAL: u64 = 64 << 10;

/// Pieces that wait for the parser. The network brings at most some hundred kilobytes in one piece.
const WAITING_CHUNKS: usize = 4;

/// The head of an answer; the body is still to come.
pub struct Answer {
    body: Body,
    call: Call,
    sent: Timestamp,
    received: Timestamp,
}

impl Answer {
    pub(crate) fn new(
        http: Http,
        response: reqwest::Response,
        call: Call,
        sent: Timestamp,
        deadline: Deadline,
    ) -> Self {
        let cap = http.limits().body_bytes;
        Self {
            body: Body {
                http,
                response,
                deadline,
                cap,
                read: 0,
            },
            call,
            sent,
            received: Timestamp::now(),
        }
    }

    /// Refuses to be sent elsewhere.
    pub(crate) fn unless_redirect(self) -> Result<Self, Error> {
        if !(300..400).contains(&self.status()) {
            return Ok(self);
        }
        let location = self
            .body
            .response
            .headers()
            .get(LOCATION)
            .map(|value| value.as_bytes())
            .unwrap_or_default();
        let location = self.body.http.excerpt(&String::from_utf8_lossy(location));
        Err(Error::Redirect {
            server: self.body.http.server(),
            status: self.status(),
            location,
        })
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.body.response.status().as_u16()
    }

    /// How far the server's clock is ahead of ours, to a second or so, if it told its time.
    pub fn clock_offset(&self) -> Option<SignedDuration> {
        let ours = self.sent + self.received.duration_since(self.sent) / 2;
        // The header drops fractions: on average the server's clock was half a second further.
        let theirs = date(self.body.response.headers())? + SignedDuration::from_millis(500);
        Some(theirs.duration_since(ours))
    }

    /// Reads the body as JSON of at most `cap` bytes, keeping only what `T` asks for, with our secrets hidden in it. Use
    /// [`Object`](crate::Object) and [`List`](crate::List) for the outer shape.
    pub async fn json<T: DeserializeOwned + Send + 'static>(
        mut self,
        cap: u64,
    ) -> Result<T, Error> {
        let read = self.read(cap, Strings::Hiding).await;
        self.call.ended(read)
    }

    /// The same for an answer that is itself a secret, such as an access token: nothing is hidden in it.
    pub async fn secret_json<T: DeserializeOwned + Send + 'static>(
        mut self,
        cap: u64,
    ) -> Result<T, Error> {
        let read = self.read(cap, Strings::Bare).await;
        self.call.ended(read)
    }

    /// The same for an answer of which long texts are wanted by their ends: of each at least the last `keep` bytes, as
    /// written, are there. Nothing is hidden; see [`Http::without_secrets`].
    pub async fn json_ends<T: DeserializeOwned + Send + 'static>(
        mut self,
        cap: u64,
        keep: usize,
    ) -> Result<T, Error> {
        let read = self.read(cap, Strings::Ends(keep)).await;
        self.call.ended(read)
    }

    async fn read<T: DeserializeOwned + Send + 'static>(
        &mut self,
        cap: u64,
        strings: Strings,
    ) -> Result<T, Error> {
        self.body.cap = cap;
        let mut start = BytesMut::new();
        while let Some(chunk) = self.body.chunk().await? {
            start.extend_from_slice(&chunk);
            if is_html(&start) {
                return Err(Error::Html {
                    server: self.body.http.server(),
                });
            }
            if start.len() > SMALL {
                return self.read_long(start.freeze(), strings).await;
            }
        }
        let secrets = strings.secrets(self.body.http.secrets());
        hiding::read(SliceRead::new(&start), secrets).map_err(|error| self.unreadable(error))
    }

    async fn read_long<T: DeserializeOwned + Send + 'static>(
        &mut self,
        start: Bytes,
        strings: Strings,
    ) -> Result<T, Error> {
        let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
        let http = self.body.http.clone();
        let parser = spawn_blocking(move || parse_chunks(receiver, strings, http.secrets()));
        let mut chunk = Some(start);
        while let Some(bytes) = chunk {
            match timeout_at(self.body.deadline.at, sender.send(bytes)).await {
                Ok(Ok(())) => {}
                // The parser has seen enough: it says why below.
                Ok(Err(_)) => break,
                Err(_) => return Err(self.body.http.late(self.body.deadline)),
            }
            // On an error the parser meets the end of its queue and stops; what it thinks of that is of no interest.
            chunk = self.body.chunk().await?;
        }
        drop(sender);
        match parser.await {
            Ok(parsed) => parsed.map_err(|error| self.unreadable(error)),
            Err(ended) => Err(self.body.http.malformed(&ended.to_string())),
        }
    }

    /// Reads the body as text. A web page is an error.
    pub async fn text(mut self) -> Result<String, Error> {
        let read = self.read_text().await;
        self.call.ended(read)
    }

    async fn read_text(&mut self) -> Result<String, Error> {
        let mut text = BytesMut::new();
        while let Some(chunk) = self.body.chunk().await? {
            text.extend_from_slice(&chunk);
        }
        if is_html(&text) {
            return Err(Error::Html {
                server: self.body.http.server(),
            });
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Makes sure that there is no body.
    pub async fn nothing(mut self) -> Result<(), Error> {
        let read = self.read_nothing().await;
        self.call.ended(read)
    }

    async fn read_nothing(&mut self) -> Result<(), Error> {
        // Checked in the head, too: a client must not read a body after some statuses even where one is announced.
        let announced = self
            .body
            .response
            .headers()
            .get(reqwest::header::CONTENT_LENGTH);
        if announced.is_some_and(|length| length != "0") {
            return Err(self.body.http.malformed("a body where none belongs"));
        }
        while let Some(chunk) = self.body.chunk().await? {
            if !chunk.is_empty() {
                return Err(self.body.http.malformed("a body where none belongs"));
            }
        }
        Ok(())
    }

    /// Reads the body as the explanation of a status that the caller cannot use. Whatever happens to the body, the
    /// status stays known.
    pub async fn refused(mut self) -> Error {
        self.body.cap = REFUSAL;
        let mut body = Vec::new();
        let complete = loop {
            match self.body.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        self.refusal(body, complete)
    }

    /// A status that the caller cannot use, with its body left unread: it may hold a secret.
    pub fn refused_unread(self) -> Error {
        self.refusal(Vec::new(), false)
    }

    fn refusal(self, body: Vec<u8>, complete: bool) -> Error {
        let refusal = Refusal {
            status: self.status(),
            retry_after: retry_after(self.body.response.headers(), self.received),
            html: is_html(&body),
            complete,
            excerpt: self.body.http.excerpt(&String::from_utf8_lossy(&body)),
            body,
        };
        Error::Status {
            server: self.body.http.server(),
            refusal: Box::new(refusal),
        }
    }

    fn unreadable(&self, error: serde_json::Error) -> Error {
        if self.body.read == 0 {
            self.body.http.malformed("it is empty")
        } else if error.is_eof() {
            Error::Cut {
                server: self.body.http.server(),
                source: Box::new(error),
            }
        } else {
            self.body.http.malformed(&error.to_string())
        }
    }
}
