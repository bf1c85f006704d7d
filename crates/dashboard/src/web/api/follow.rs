//! Events as the history learns of them.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::{sleep, timeout};

use super::super::access::Visitor;
use super::super::asked::bad;
use super::super::problem::Problem;
use super::super::site::{Changes, Site};
use crate::history::HistoryError;
use crate::views::{EventFilter, EventView, Place};

/// How many events are read at once. What a client does not take is not read.
const AT_ONCE: usize = 500;

/// Writes closer together than this are read as one.
const NOT_MORE_OFTEN: Duration = Duration::from_millis(100);

/// So often it is seen whether there is something, although nothing says so, and the connection is kept alive.
const AT_LEAST: Duration = Duration::from_secs(10);

/// With what a client that was cut off says after which event.
const LAST: &str = "last-event-id";

/// The place after which a client wants to go on: what its header says counts more than its address, which it was
/// given before it was cut off.
pub(super) fn wanted(headers: &HeaderMap, asked: Option<Place>) -> Result<Option<Place>, Problem> {
    let Some(text) = headers.get(LAST).filter(|text| !text.is_empty()) else {
        return Ok(asked);
    };
    let text = String::from_utf8_lossy(text.as_bytes());
    text.parse()
        .map(Some)
        .map_err(|error| bad(format!("Last-Event-ID: {error}")))
}

struct Client {
    site: Site,
    visitor: Visitor,
    filter: EventFilter,
    seen: Changes,
    /// How far it has followed.
    place: Place,
}

/// The events after a place, or from now on, until the visitor may not read any more.
pub(super) async fn events(
    site: Site,
    visitor: Visitor,
    filter: EventFilter,
    after: Option<Place>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, HistoryError> {
    let end = site.clone().ended();
    let seen = site.changes();
    let place = site
        .ask(move |moment| {
            let place = match after {
                Some(place) => place,
                None => moment.reading.last_place()?,
            };
            moment.reading.go_on_from(place)
        })
        .await?;
    // Without data this is no event; it tells a client that is cut off before the first one where to go on.
    let begin = Event::default().id(after.unwrap_or(place).to_string());
    let client = Client {
        site,
        visitor,
        filter,
        seen,
        place,
    };
    let later = stream::unfold(client, async |mut client| {
        let events = client.next().await?;
        Some((stream::iter(events), client))
    });
    let events = stream::iter([begin]).chain(later.flatten());
    Ok(Sse::new(events.map(Ok).take_until(end)).keep_alive(KeepAlive::new().interval(AT_LEAST)))
}

impl Client {
    /// The next events, when there are some; `None` when there will be none.
    async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            self.seen.see();
            if !self.site.access().admits(&self.visitor) {
                return None;
            }
            let (filter, mut place) = (self.filter.clone(), self.place);
            let found = self.site.ask(move |moment| {
                let found = moment.reading.follow(&mut place, &filter, AT_ONCE)?;
                Ok((found, place))
            });
            let (found, place) = match found.await {
                Ok(found) => found,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "events are not sent any more");
                    return None;
                }
            };
            self.place = place;
            if !found.is_empty() {
                return Some(found.iter().map(message).collect());
            }
            match timeout(AT_LEAST, self.seen.next()).await {
                // Nobody follows any more: the process is about to end.
                Ok(None) => return None,
                Ok(Some(())) => sleep(NOT_MORE_OFTEN).await,
                Err(_) => {}
            }
        }
    }
}

fn message((place, event): &(Place, EventView)) -> Event {
    let data = serde_json::to_string(event).expect("a view holds only text and numbers");
    Event::default().id(place.to_string()).data(data)
}
