//! What every page and every answer of the API is made from.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, HeaderMap, HeaderValue, VARY};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use ledger::Ledger;
use model::evidence::Keeping;
use sha2::Sha256;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::access::{Access, Visitor};
use super::api::Told;
use super::live::{self, OpenPages};
use super::pages::{self, Page};
use super::problem::Problem;
use super::stand::Stand;
use super::turns::{Awaited, Turn, Turns};
use crate::broker::BrokerView;
use crate::claims::Claims;
use crate::evidence::{Found, Shelf};
use crate::follow::Progress;
use crate::history::{History, HistoryError, Reading};
use crate::schedules::Schedules;
use crate::views::JobView;

/// The follower writes at least every ten seconds, even when nothing happens: after this long without, the broker
/// cannot be reached.
const QUIET: SignedDuration = SignedDuration::from_secs(30);

/// What a dashboard shows and acts on. Cheap to clone.
#[derive(Clone)]
pub struct Sources {
    /// The history, which is being followed.
    pub history: History,
    /// How far.
    pub progress: watch::Receiver<Progress>,
    /// The racks' schedules.
    pub schedules: watch::Receiver<Schedules>,
    /// How the broker stands.
    pub broker: watch::Receiver<BrokerView>,
    /// The claims of machines.
    pub claims: watch::Receiver<Claims>,
    /// Where actions are done, once the broker was reached.
    pub ledger: watch::Receiver<Option<Ledger>>,
    /// The root of Testflinger, to which pages link, with a slash at its end.
    pub testflinger: Arc<str>,
    /// The root of MAAS, to which pages link, with a slash at its end; `None`: it is not known.
    pub maas: Option<Arc<str>>,
}

/// A dashboard: its sources, and who is let in. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    sources: Sources,
    access: Access,
    /// Of this process alone: a form that an earlier one sent is no good any more.
    key: [u8; 32],
    evidence: Shelf,
    ended: watch::Receiver<bool>,
    open_pages: OpenPages,
    turns: Turns,
    awaited: Awaited<Result<Option<Told>, Arc<HistoryError>>>,
}

/// One moment of all sources.
pub(super) struct Moment<'r> {
    /// The history.
    pub(super) reading: &'r Reading<'r>,
    /// The racks' schedules.
    pub(super) schedules: &'r Schedules,
    /// The broker.
    pub(super) broker: &'r BrokerView,
    /// The claims of machines.
    claims: &'r watch::Receiver<Claims>,
    /// How far the history is.
    pub(super) progress: Progress,
    /// The root of Testflinger.
    pub(super) testflinger: &'r str,
    /// The root of MAAS, if that is known.
    pub(super) maas: Option<&'r str>,
    /// Who asks.
    pub(super) visitor: &'r Visitor,
    evidence: &'r Shelf,
    runtime: &'r Handle,
    turn: Cell<Option<Turn>>,
}

impl Moment<'_> {
    /// The clock.
    pub(super) fn now(&self) -> Timestamp {
        self.reading.now
    }

    /// The claims of machines, which may be many: not to be held on to.
    pub(super) fn claims(&self) -> watch::Ref<'_, Claims> {
        self.claims.borrow()
    }

    /// A job's evidence; `None` of one that has none. Waits for the broker, unless that was not heard of anyway.
    pub(super) fn evidence(&self, job: &JobView) -> Option<Found> {
        let keeping = job.evidence.as_ref()?;
        let is_kept = matches!(keeping, Keeping::Kept { .. });
        if is_kept && self.cut_off_since().is_some() {
            return Some(Found::NotNow);
        }
        // Whoever waits for the broker gives way, and is soon done afterwards.
        self.turn.take();
        Some(
            self.runtime
                .block_on(self.evidence.find(job.job.job, keeping)),
        )
    }

    /// Since when the broker was not heard of, when that is too long ago.
    pub(super) fn cut_off_since(&self) -> Option<Timestamp> {
        cut_off_since(&self.progress, self.now())
    }
}

fn cut_off_since(progress: &Progress, now: Timestamp) -> Option<Timestamp> {
    let at = progress.at?;
    (now.duration_since(at) > QUIET).then_some(at)
}

/// Tells when a source has changed that most pages show. How the broker stands is asked for every few seconds and is
/// never quite the same; a page that shows it looks often enough by itself.
pub(super) struct Changes {
    progress: watch::Receiver<Progress>,
    schedules: watch::Receiver<Schedules>,
}

impl Changes {
    /// Resolves when there is something that was not seen yet; `None` when nothing will ever change again.
    pub(super) async fn next(&mut self) -> Option<()> {
        tokio::select! {
            changed = self.progress.changed() => changed.ok(),
            changed = self.schedules.changed() => changed.ok(),
        }
    }

    /// Everything that there is now is seen.
    pub(super) fn see(&mut self) {
        self.progress.borrow_and_update();
        self.schedules.borrow_and_update();
    }
}

/// Who asks for a page, and how.
pub(super) struct Client {
    visitor: Visitor,
    /// Whether every change from now on is wanted.
    live: bool,
    /// Of which page.
    address: String,
    /// How the page stands that the client has.
    has: Option<Stand>,
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            visitor: Visitor::from_request_parts(parts, state).await?,
            live: Site::is_live(&parts.headers),
            address: address(&parts.uri),
            has: has(parts).and_then(Stand::from_text),
        })
    }
}

/// How a page stands, in the address of its updates.
const STAND: &str = "stand=";

/// How the page stands that a browser has: as it came last, or as it was loaded.
fn has(parts: &Parts) -> Option<&str> {
    match parts.headers.get("last-event-id") {
        Some(last) => last.to_str().ok(),
        None => {
            let query = parts.uri.query()?;
            query.split('&').find_map(|part| part.strip_prefix(STAND))
        }
    }
}

/// The address of a page, whatever the client has of it.
fn address(uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default().split('&');
    let query: Vec<_> = query.filter(|part| !part.starts_with(STAND)).collect();
    format!("{}?{}", uri.path(), query.join("&"))
}

impl Site {
    /// A dashboard over these sources.
    pub fn new(sources: Sources, access: Access) -> Self {
        Self {
            evidence: Shelf::new(sources.ledger.clone()),
            sources,
            access,
            key: rand::random(),
            ended: watch::channel(false).1,
            open_pages: OpenPages::default(),
            turns: Turns::default(),
            awaited: Awaited::default(),
        }
    }

    pub(super) fn until(self, ended: watch::Receiver<bool>) -> Self {
        Self { ended, ..self }
    }

    /// Who may read.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// The pages that are open.
    pub(super) fn open_pages(&self) -> &OpenPages {
        &self.open_pages
    }

    /// Where actions are done; `None`: the broker was not reached yet.
    pub(super) fn ledger(&self) -> Option<Ledger> {
        self.sources.ledger.borrow().clone()
    }

    /// What a form must bring back that was sent to whoever has this token. No other page can know it.
    pub(super) fn seal(&self, token: &str) -> String {
        let mut keyed = Hmac::<Sha256>::new_from_slice(&self.key).expect("any length is a key");
        keyed.update(token.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(keyed.finalize().into_bytes())
    }

    /// Whether a request is for the changes of what is there, not once for what is there now.
    pub(super) fn is_live(headers: &HeaderMap) -> bool {
        let accept = headers.get(ACCEPT);
        accept.is_some_and(|kinds| kinds.as_bytes().starts_with(b"text/event-stream"))
    }

    /// Resolves when live updates are to end.
    pub(super) async fn ended(mut self) {
        // Whoever said when would be gone with the server.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    /// Tells when something may look different.
    pub(super) fn changes(&self) -> Changes {
        Changes {
            progress: self.sources.progress.clone(),
            schedules: self.sources.schedules.clone(),
        }
    }

    /// Asks all sources as of one moment, for nobody in particular.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Moment) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, HistoryError> {
        self.ask_for(Arc::default(), question).await
    }

    /// The same for somebody.
    pub(super) async fn ask_for<T: Send + 'static>(
        &self,
        visitor: Arc<Visitor>,
        question: impl FnOnce(&Moment) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let turn = self.turns.next().await;
        self.ask_now(turn, visitor, question).await
    }

    /// Asks for nobody in particular, with one answer for all who ask for the same before it is asked. The name says what.
    pub(super) async fn ask_together(
        &self,
        name: String,
        question: impl FnOnce(&Moment) -> rusqlite::Result<Option<Told>> + Send + 'static,
    ) -> Result<Option<Told>, Arc<HistoryError>> {
        let site = self.clone();
        let make = async move |turn| {
            let asked = site.ask_now(turn, Arc::default(), question);
            asked.await.map_err(Arc::new)
        };
        self.awaited.get(name, &self.turns, make).await
    }

    async fn ask_now<T: Send + 'static>(
        &self,
        turn: Turn,
        visitor: Arc<Visitor>,
        question: impl FnOnce(&Moment) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let progress = *self.sources.progress.borrow();
        let schedules = self.sources.schedules.borrow().clone();
        let broker = self.sources.broker.borrow().clone();
        let claims = self.sources.claims.clone();
        let testflinger = Arc::clone(&self.sources.testflinger);
        let maas = self.sources.maas.clone();
        let (evidence, runtime) = (self.evidence.clone(), Handle::current());
        let asked = self.sources.history.ask(move |reading| {
            question(&Moment {
                reading,
                schedules: &schedules,
                broker: &broker,
                claims: &claims,
                progress,
                testflinger: &testflinger,
                maas: maas.as_deref(),
                visitor: &visitor,
                evidence: &evidence,
                runtime: &runtime,
                turn: Cell::new(Some(turn)),
            })
        });
        asked.await
    }

    /// Answers with a page: once, or again and again as it changes. `None` is a page that is not there.
    pub(super) async fn page(
        &self,
        client: Client,
        page: impl Fn(&Moment) -> rusqlite::Result<Option<Page>> + Send + Sync + 'static,
    ) -> Response {
        let Client {
            visitor,
            live,
            address,
            has,
        } = client;
        let visitor = Arc::new(visitor);
        let mut answer = match live {
            true => live::updates(self.clone(), visitor, address, has, Arc::new(page)),
            false => match self
                .ask_for(visitor, move |moment| pages::whole(moment, page(moment)?))
                .await
            {
                Ok(Some(html)) => Html(html).into_response(),
                Ok(None) => pages::not_there().into_response(),
                Err(error) => Problem::broken(&error).into_response(),
            },
        };
        let headers = answer.headers_mut();
        headers.insert(VARY, ACCEPT.into());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    /// Whether pages tell what is true now. Who asks this waits for no turn: many readers are no reason to be replaced.
    pub(super) async fn ready(State(site): State<Self>) -> Response {
        let progress = *site.sources.progress.borrow();
        if let Err(error) = site.sources.history.ask(|_| Ok(())).await {
            return Problem::broken(&error).into_response();
        }
        let why = match (progress.at, cut_off_since(&progress, Timestamp::now())) {
            (None, _) => "the events were not read yet".to_owned(),
            (_, Some(since)) => format!("the broker was not heard of since {since}"),
            (Some(_), None) if progress.pending > 0 => {
                format!("{} events are still to be read", progress.pending)
            }
            (Some(_), None) => return "ok\n".into_response(),
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response()
    }
}
