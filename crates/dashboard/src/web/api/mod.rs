//! The same answers as JSON, under `/api/v1`.

mod document;
mod follow;
mod told;
mod verdicts;
mod view;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, CACHE_CONTROL, HeaderMap, VARY};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use model::evidence::Evidence;
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::Visitor;
use super::asked::{Asked, Named, bad};
use super::pages::trends::Span;
use super::problem::Problem;
use super::site::{Moment, Site};
use crate::evidence::{Found, missing};
use crate::views::{
    Cursor, CycleSummary, CycleView, Decision, EventFilter, Events, Fleet, JobView, List,
    MachineView, OverFilter, Page, Place, RackView, Trends,
};
use document::{NotNow, Otherwise, Same, Unknown};
pub(super) use told::Told;
use view::{System, View};

/// How many entries a page has unless it is said, and how many at most.
const LIMIT: (usize, usize) = (100, 1000);

type Answer = Result<Response, Problem>;

pub(super) fn routes() -> Router<Site> {
    described().into()
}

/// The routes, each with what it says of itself.
fn described() -> OpenApiRouter<Site> {
    OpenApiRouter::with_openapi(document::Said::openapi())
        .routes(routes!(fleet))
        .routes(routes!(racks))
        .routes(routes!(rack))
        .routes(routes!(cycles_of))
        .routes(routes!(cycles))
        .routes(routes!(cycle))
        .routes(routes!(machine))
        .routes(routes!(decisions))
        .routes(routes!(job))
        .routes(routes!(evidence))
        .routes(routes!(events))
        .routes(routes!(verdicts))
        .routes(routes!(trends))
        .routes(routes!(system))
        .routes(routes!(document::document))
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Piece {
    /// What `next` of the piece before said.
    #[param(value_type = Option<String>)]
    after: Option<Cursor>,
    /// How many at most: 100 unless it is said, and never more than 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl Piece {
    fn limit(self) -> usize {
        let (usual, most) = LIMIT;
        self.limit.unwrap_or(usual).clamp(1, most)
    }
}

async fn answer<T: View>(
    site: Site,
    question: impl FnOnce(&Moment) -> rusqlite::Result<T> + Send + 'static,
) -> Answer {
    match site.ask(|moment| Told::of(question(moment)?)).await {
        Ok(told) => Ok(told.into_response()),
        Err(error) => Err(Problem::broken(&error)),
    }
}

/// The same where nothing may be found.
async fn one<T: View>(
    site: Site,
    question: impl FnOnce(&Moment) -> rusqlite::Result<Option<T>> + Send + 'static,
) -> Answer {
    let found = site.ask(|moment| question(moment)?.map(Told::of).transpose());
    match found.await {
        Ok(Some(told)) => Ok(told.into_response()),
        Ok(None) => Err(nothing_told()),
        Err(error) => Err(Problem::broken(&error)),
    }
}

/// The same for what is long: all who ask for it at once are told it by one answer. The name says what it is.
async fn together<T: View>(
    site: Site,
    name: String,
    question: impl FnOnce(&Moment) -> rusqlite::Result<Option<T>> + Send + 'static,
) -> Answer {
    let found = site.ask_together(name, |moment| question(moment)?.map(Told::of).transpose());
    match found.await {
        Ok(Some(told)) => Ok(told.into_response()),
        Ok(None) => Err(nothing_told()),
        Err(error) => Err(Problem::broken(&error)),
    }
}

fn nothing_told() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no event has told of it, or it is older than what is kept",
    )
}

/// A piece of a list, as of the moment of the reading.
fn listed<T>(moment: &Moment, page: rusqlite::Result<Page<T>>) -> rusqlite::Result<List<T>> {
    Ok(List {
        as_of: moment.reading.as_of()?,
        page: page?,
    })
}

/// All racks with their machines.
#[utoipa::path(
    get,
    path = "/fleet",
    responses((status = 200, body = Fleet, description = "All racks with their machines."), Same, Otherwise)
)]
async fn fleet(State(site): State<Site>) -> Answer {
    together(site, "fleet".into(), |moment| {
        moment.reading.fleet().map(Some)
    })
    .await
}

/// The racks that any event told of, by name.
#[utoipa::path(
    get,
    path = "/racks",
    responses((status = 200, body = List<RackName>, description = "The racks that any event told of, by name."), Same, Otherwise)
)]
async fn racks(State(site): State<Site>) -> Answer {
    answer(site, |moment| {
        let racks = moment.reading.racks()?;
        listed(
            moment,
            Ok(Page {
                items: racks,
                next: None,
            }),
        )
    })
    .await
}

/// One rack.
#[utoipa::path(
    get,
    path = "/racks/{rack}",
    params(("rack" = RackName, Path, description = "The rack")),
    responses((status = 200, body = RackView, description = "One rack."), Same, Otherwise, Unknown)
)]
async fn rack(State(site): State<Site>, Named(rack): Named<RackName>) -> Answer {
    let name = format!("racks/{rack}");
    together(site, name, move |moment| moment.reading.rack(&rack)).await
}

/// The cycles of a rack, the newest first.
#[utoipa::path(
    get,
    path = "/racks/{rack}/cycles",
    params(("rack" = RackName, Path, description = "The rack"), Piece),
    responses((status = 200, body = List<CycleSummary>, description = "The cycles of a rack, the newest first."), Same, Otherwise)
)]
async fn cycles_of(
    State(site): State<Site>,
    Named(rack): Named<RackName>,
    Asked(piece): Asked<Piece>,
) -> Answer {
    answer(site, move |moment| {
        let (after, limit) = (piece.after, piece.limit());
        listed(moment, moment.reading.cycles(Some(&rack), after, limit))
    })
    .await
}

/// All cycles, the newest first.
#[utoipa::path(
    get,
    path = "/cycles",
    params(Piece),
    responses((status = 200, body = List<CycleSummary>, description = "All cycles, the newest first."), Same, Otherwise)
)]
async fn cycles(State(site): State<Site>, Asked(piece): Asked<Piece>) -> Answer {
    answer(site, move |moment| {
        let (after, limit) = (piece.after, piece.limit());
        listed(moment, moment.reading.cycles(None, after, limit))
    })
    .await
}

/// One cycle with its decisions.
#[utoipa::path(
    get,
    path = "/cycles/{cycle}",
    params(("cycle" = CycleId, Path, description = "The cycle")),
    responses((status = 200, body = CycleView, description = "One cycle with its decisions."), Same, Otherwise, Unknown)
)]
async fn cycle(State(site): State<Site>, Named(cycle): Named<CycleId>) -> Answer {
    one(site, move |moment| moment.reading.cycle(cycle)).await
}

/// One machine.
#[utoipa::path(
    get,
    path = "/machines/{machine}",
    params(("machine" = MachineName, Path, description = "The machine")),
    responses((status = 200, body = MachineView, description = "One machine."), Same, Otherwise, Unknown)
)]
async fn machine(State(site): State<Site>, Named(machine): Named<MachineName>) -> Answer {
    one(site, move |moment| moment.reading.machine(&machine)).await
}

/// What cycles decided about a machine, the newest first.
#[utoipa::path(
    get,
    path = "/machines/{machine}/decisions",
    params(("machine" = MachineName, Path, description = "The machine"), Piece),
    responses((status = 200, body = List<Decision>, description = "What cycles decided about a machine, the newest first."), Same, Otherwise)
)]
async fn decisions(
    State(site): State<Site>,
    Named(machine): Named<MachineName>,
    Asked(piece): Asked<Piece>,
) -> Answer {
    answer(site, move |moment| {
        let (after, limit) = (piece.after, piece.limit());
        listed(
            moment,
            moment.reading.decisions_about(&machine, after, limit),
        )
    })
    .await
}

/// One job.
#[utoipa::path(
    get,
    path = "/jobs/{job}",
    params(("job" = JobId, Path, description = "The job")),
    responses((status = 200, body = JobView, description = "One job."), Same, Otherwise, Unknown)
)]
async fn job(State(site): State<Site>, Named(job): Named<JobId>) -> Answer {
    one(site, move |moment| moment.reading.job(job)).await
}

/// What is kept of a job that did not pass.
#[utoipa::path(
    get,
    path = "/jobs/{job}/evidence",
    params(("job" = JobId, Path, description = "The job")),
    responses((status = 200, body = Evidence, description = "What is kept of a job that did not pass."), Otherwise, Unknown, NotNow)
)]
async fn evidence(State(site): State<Site>, Named(job): Named<JobId>) -> Answer {
    let question = site.ask(move |moment| {
        let Some(view) = moment.reading.job(job)? else {
            return Ok(None);
        };
        Ok(Some((view.job.outcome_at, moment.evidence(&view))))
    });
    let (status, why) = match &question.await.map_err(|error| Problem::broken(&error))? {
        None => return Err(nothing_told()),
        Some((_, None)) => {
            let why = "a job that passed or is not over has no evidence";
            return Err(Problem::new(StatusCode::NOT_FOUND, why));
        }
        Some((_, Some(Found::Evidence(evidence)))) => {
            // It never changes; and whoever keeps it must have been let in.
            let keep = [(CACHE_CONTROL, "private, no-cache")];
            return Ok((keep, Json(&**evidence)).into_response());
        }
        Some((over_at, Some(found))) => {
            let status = match found {
                Found::NotNow => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::NOT_FOUND,
            };
            (status, missing(found, *over_at).unwrap_or_default())
        }
    };
    Err(Problem::new(status, why))
}

/// Where to go on with following events, for who cannot send a header.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Following {
    /// After which event a follower goes on; the header `Last-Event-ID` counts more.
    #[param(value_type = Option<String>)]
    last_event_id: Option<Place>,
}

/// What happened, the newest first; asked for as an event stream, what happens from now on.
#[utoipa::path(
    get,
    path = "/events",
    params(
        EventFilter,
        Piece,
        Following,
        ("Last-Event-ID" = Option<String>, Header, description = "After which event a follower goes on")
    ),
    responses(
        (
            status = 200,
            description = "What happened. Each event of a stream has the form of an entry of `items`.",
            content((Events = "application/json"), (String = "text/event-stream"))
        ),
        Same,
        Otherwise
    )
)]
async fn events(
    State(site): State<Site>,
    headers: HeaderMap,
    visitor: Visitor,
    Asked(filter): Asked<EventFilter>,
    Asked(piece): Asked<Piece>,
    Asked(following): Asked<Following>,
) -> Answer {
    let mut answer = if Site::is_live(&headers) {
        if piece.after.is_some() || piece.limit.is_some() {
            return Err(bad(
                "`after` and `limit` are for lists: who follows events says after which one with `Last-Event-ID`",
            ));
        }
        let after = follow::wanted(&headers, following.last_event_id)?;
        match follow::events(site, visitor, filter, after).await {
            Ok(events) => events.into_response(),
            Err(error) => return Err(Problem::broken(&error)),
        }
    } else {
        answer(site, move |moment| {
            moment.reading.events(&filter, piece.after, piece.limit())
        })
        .await?
    };
    answer.headers_mut().insert(VARY, ACCEPT.into());
    Ok(answer)
}

/// What became of every job, the newest first, as of RFC 4180.
#[utoipa::path(
    get,
    path = "/verdicts.csv",
    params(OverFilter),
    responses((status = 200, body = String, content_type = "text/csv", description = "A line per job."), Otherwise)
)]
async fn verdicts(State(site): State<Site>, Asked(filter): Asked<OverFilter>) -> Answer {
    verdicts::answer(site, filter).await
}

/// How the broker stands.
#[utoipa::path(
    get,
    path = "/system",
    responses((status = 200, body = System, description = "How the broker stands."), Same, Otherwise)
)]
async fn system(State(site): State<Site>) -> Answer {
    let asked = answer(site, |moment| {
        let claims = moment.claims();
        Ok(System {
            broker: moment.broker.clone(),
            claims: claims.count(),
            claimed: claims.first(100),
        })
    });
    asked.await
}

/// How the fleet did over days.
#[utoipa::path(
    get,
    path = "/trends",
    params(Span),
    responses((status = 200, body = Trends, description = "How the fleet did over days."), Same, Otherwise)
)]
async fn trends(State(site): State<Site>, Asked(span): Asked<Span>) -> Answer {
    if !span.is_sensible() {
        return Err(bad("`days` is a number from 1 to 3650"));
    }
    answer(site, move |moment| {
        moment.reading.trends(span.from(moment.now()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_has_at_least_one_entry_and_at_most_a_thousand() {
        let limit = |limit| Piece { after: None, limit }.limit();
        assert_eq!(limit(None), 100);
        let asked = [0, 1, 1000, 1001, usize::MAX];
        let given = asked.map(|asked| limit(Some(asked)));
        assert_eq!(given, [1, 1, 1000, 1000, 1000]);
    }
}
