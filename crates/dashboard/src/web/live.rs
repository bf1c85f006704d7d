//! A page that stays true: the sections that changed are sent as they are now.

use std::collections::hash_map::DefaultHasher;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, sleep, sleep_until};

use super::access::Visitor;
use super::pages::{self, Page, Section};
use super::site::{Moment, Site};

/// Changes closer together than this are sent as one.
const NOT_MORE_OFTEN: Duration = Duration::from_millis(500);

/// So often a page is looked at although nothing is known to have changed: what is stale becomes so by itself.
const AT_LEAST: Duration = Duration::from_secs(10);

/// What was sent last: per section its id, and what stands for its text.
type Sent = Vec<(String, u64)>;

type Make = dyn Fn(&Moment) -> rusqlite::Result<Option<Page>> + Send + Sync;

/// First the whole page as it is, then its changes, until the page is gone or the visitor may not read any more.
pub(super) fn updates(
    site: Site,
    visitor: Arc<Visitor>,
    page: Arc<Make>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let end = site.clone().ended();
    let seen = site.changes();
    let events = stream::unfold(
        (site, visitor, page, seen, None::<(Sent, Instant)>),
        async |state| {
            let (site, visitor, page, mut seen, mut sent) = state;
            loop {
                if let Some((_, at)) = &sent {
                    let next = *at + AT_LEAST;
                    tokio::select! {
                        // Nobody follows any more: the process is about to end.
                        changed = seen.next() => changed?,
                        () = sleep_until(next) => {}
                    }
                    sleep(NOT_MORE_OFTEN.saturating_sub(at.elapsed())).await;
                }
                seen.see();
                if !site.access().admits(&visitor) {
                    return None;
                }
                let make = Arc::clone(&page);
                let sections = site
                    .ask_for(Arc::clone(&visitor), move |moment| {
                        Ok(make(moment)?.map(|page| pages::sections(moment, page)))
                    })
                    .await;
                let (events, now_sent) = match sections {
                    Ok(Some(sections)) => changes(sent.as_ref().map(|(sent, _)| sent), sections),
                    Ok(None) => return None,
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, "a page is not updated any more");
                        return None;
                    }
                };
                sent = Some((now_sent, Instant::now()));
                if !events.is_empty() {
                    return Some((stream::iter(events), (site, visitor, page, seen, sent)));
                }
            }
        },
    );
    let events = events.flatten().map(Ok).take_until(end);
    Sse::new(events).keep_alive(KeepAlive::new().interval(AT_LEAST))
}

/// What the client is to be told. All of it when it knows nothing, or when there are other sections than before.
fn changes(sent: Option<&Sent>, sections: Vec<Section>) -> (Vec<Event>, Sent) {
    let now: Sent = sections
        .iter()
        .map(|section| {
            let mut hasher = DefaultHasher::new();
            section.html.hash(&mut hasher);
            (section.id.clone(), hasher.finish())
        })
        .collect();
    let ids = |sent: &Sent| sent.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    let known = sent.filter(|sent| ids(sent) == ids(&now));
    let events = match known {
        None => {
            let all: String = sections.into_iter().map(|section| section.html).collect();
            vec![Event::default().event("all").data(all)]
        }
        Some(known) => sections
            .into_iter()
            .zip(known.iter().zip(&now))
            .filter(|(_, (before, after))| before != after)
            .map(|(section, _)| Event::default().event("section").data(section.html))
            .collect(),
    };
    (events, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(id: &str, html: &str) -> Section {
        Section {
            id: id.into(),
            html: html.into(),
        }
    }

    #[test]
    fn only_what_changed_is_sent_again() {
        let (first, sent) = changes(None, vec![section("a", "1"), section("b", "1")]);
        assert_eq!(first.len(), 1);
        let (none, sent) = changes(Some(&sent), vec![section("a", "1"), section("b", "1")]);
        assert!(none.is_empty());
        let (one, sent) = changes(Some(&sent), vec![section("a", "2"), section("b", "1")]);
        assert_eq!(one.len(), 1);
        let (all, _) = changes(Some(&sent), vec![section("a", "2"), section("c", "1")]);
        assert_eq!(all.len(), 1);
        assert!(format!("{:?}", all[0]).contains("event: all"));
    }
}
