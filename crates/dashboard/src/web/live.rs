//! A page that stays true: the sections that changed are sent as they are now. A page that many have open is made once
//! for all of them, and nothing of it is copied for any of them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::access::Visitor;
use super::pages::{self, Page};
use super::site::{Moment, Site};
use super::stand::{Made, Stand};
use crate::tokens::Role;

/// Changes closer together than this are sent as one.
const NOT_MORE_OFTEN: Duration = Duration::from_millis(500);

/// So often a page is looked at although nothing is known to have changed: what is stale becomes so by itself.
const AT_LEAST: Duration = Duration::from_secs(10);

/// Who has much to read gets it less often: so many bytes per second on average.
const A_SECOND: u32 = 500_000;

/// Says nothing but that the page is still true. A script cannot see comments, and without a word it takes the page for
/// stale: a connection that was lost without one looks like one on which nothing happens.
const STILL_HERE: &[u8] = b"event: here\ndata:\n\n";

type Make = dyn Fn(&Moment) -> rusqlite::Result<Option<Page>> + Send + Sync;

/// Which page is open. Those who see the same have the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    address: String,
    audience: Option<(Role, String)>,
}

/// A page that is open: as it was made last, and the wish for it to be made anew.
#[derive(Clone)]
struct Open {
    made: watch::Sender<Option<Arc<Made>>>,
    wanted: Arc<Notify>,
}

/// The pages that are open. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct OpenPages(Arc<Mutex<HashMap<Key, Open>>>);

impl OpenPages {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What somebody who has a page open was sent.
struct Reader {
    site: Site,
    visitor: Arc<Visitor>,
    made: watch::Receiver<Option<Arc<Made>>>,
    /// What was made before this may be older than what the reader has.
    since: Instant,
    has: Option<Stand>,
}

/// What is not as it is on the reader's page, from now on, until the page is gone or the visitor may not read any more.
pub(super) fn updates(
    site: Site,
    visitor: Arc<Visitor>,
    address: String,
    has: Option<Stand>,
    page: Arc<Make>,
) -> Response {
    let since = Instant::now();
    let key = Key {
        address,
        audience: visitor.audience(),
    };
    let reader = Reader {
        made: join(&site, key, &visitor, page),
        visitor,
        since,
        has,
        site: site.clone(),
    };
    let chunks = stream::unfold(reader, async |mut reader| {
        let chunks = reader.next().await?;
        Some((stream::iter(chunks).map(Ok::<_, Infallible>), reader))
    });
    let body = Body::from_stream(chunks.flatten().take_until(site.ended()));
    let kind = HeaderValue::from_static("text/event-stream");
    ([(CONTENT_TYPE, kind)], body).into_response()
}

impl Reader {
    /// The next that is to be sent.
    async fn next(&mut self) -> Option<Vec<Bytes>> {
        // However often the page is made without news for this reader.
        let idle = Instant::now() + AT_LEAST;
        loop {
            let is_idle = tokio::select! {
                changed = self.made.changed() => { changed.ok()?; false }
                () = sleep_until(idle) => true,
            };
            if !self.site.access().admits(&self.visitor) {
                return None;
            }
            let made = self.made.borrow_and_update().clone();
            let news = made
                .filter(|made| made.at >= self.since)
                .map(|made| made.after(self.has.replace(made.stand())))
                .unwrap_or_default();
            match (news.is_empty(), is_idle) {
                (false, _) => return Some(news),
                (true, true) => return Some(vec![Bytes::from_static(STILL_HERE)]),
                (true, false) => {}
            }
        }
    }
}

/// Opens a page, or looks at one that is open; either way it is made anew.
fn join(
    site: &Site,
    key: Key,
    visitor: &Arc<Visitor>,
    page: Arc<Make>,
) -> watch::Receiver<Option<Arc<Made>>> {
    let mut all = site.open_pages().all();
    if let Some(open) = all.get(&key) {
        open.wanted.notify_one();
        return open.made.subscribe();
    }
    let (made, reader) = watch::channel(None);
    let open = Open {
        made,
        wanted: Arc::default(),
    };
    all.insert(key.clone(), open.clone());
    let keeper = Keeper {
        site: site.clone(),
        key,
        open,
    };
    tokio::spawn(keeper.keep(Arc::clone(visitor), page));
    reader
}

/// Keeps a page true as long as somebody has it open.
struct Keeper {
    site: Site,
    key: Key,
    open: Open,
}

impl Keeper {
    async fn keep(self, visitor: Arc<Visitor>, page: Arc<Make>) {
        let mut changes = self.site.changes();
        loop {
            let at = Instant::now();
            changes.see();
            let make = Arc::clone(&page);
            let sections = self.site.ask_for(Arc::clone(&visitor), move |moment| {
                let page = make(moment)?;
                let sections = page.map(|page| pages::sections(moment, page)).transpose()?;
                Ok(sections.map(|sections| Made::new(at, sections)))
            });
            let made = match sections.await {
                Ok(Some(made)) => made,
                Ok(None) => return,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "a page is not updated any more");
                    return;
                }
            };
            let before = self.open.made.borrow().as_ref().map(|made| made.stand());
            let news: usize = made.after(before).iter().map(Bytes::len).sum();
            self.open.made.send_replace(Some(Arc::new(made)));
            let pause = Duration::from_secs(news as u64) / A_SECOND;

            let end = async {
                tokio::select! {
                    changed = async { sleep(pause).await; changes.next().await } => changed.is_none(),
                    () = self.open.wanted.notified() => false,
                    () = sleep(AT_LEAST) => false,
                    () = self.open.made.closed() => self.leave(),
                }
            };
            if end.await {
                return;
            }
            sleep(NOT_MORE_OFTEN.saturating_sub(at.elapsed())).await;
        }
    }

    /// Whether nobody has it open: then nobody can come to have it any more.
    fn leave(&self) -> bool {
        let mut all = self.site.open_pages().all();
        let is_unused = self.open.made.receiver_count() == 0;
        if is_unused {
            all.remove(&self.key);
        }
        is_unused
    }
}

impl Drop for Keeper {
    /// However it ended: whoever waits for news is told that there will be none.
    fn drop(&mut self) {
        let mut all = self.site.open_pages().all();
        let known = all.get(&self.key);
        if known.is_some_and(|open| open.made.same_channel(&self.open.made)) {
            all.remove(&self.key);
        }
    }
}
