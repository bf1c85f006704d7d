//! The same answers as JSON, under `/api/v1`.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use model::name::{MachineName, RackName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::pages::trends::Span;
use super::problem::Problem;
use super::site::{Moment, Site};
use crate::broker::BrokerView;
use crate::views::{Cursor, EventFilter};

/// How many entries a page has unless it is said, and how many at most.
const LIMIT: (usize, usize) = (100, 1000);

type Answer = Result<Response, Problem>;

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/fleet", get(fleet))
        .route("/racks", get(racks))
        .route("/racks/{rack}", get(rack))
        .route("/racks/{rack}/cycles", get(cycles_of))
        .route("/cycles", get(cycles))
        .route("/cycles/{cycle}", get(cycle))
        .route("/machines/{machine}", get(machine))
        .route("/machines/{machine}/decisions", get(decisions))
        .route("/jobs/{job}", get(job))
        .route("/events", get(events))
        .route("/trends", get(trends))
        .route("/system", get(system))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Piece {
    after: Option<Cursor>,
    limit: Option<usize>,
}

impl Piece {
    fn limit(self) -> usize {
        let (usual, most) = LIMIT;
        self.limit.unwrap_or(usual).clamp(1, most)
    }
}

/// What stands behind the `?`, with what is wrong with it as a problem.
struct Asked<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => Err(bad_query(&error)),
        }
    }
}

fn bad_query(error: &QueryRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, error.body_text())
}

/// A part of the address as what it stands for.
fn named<T: FromStr<Err: Display>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| {
        Problem::new(StatusCode::BAD_REQUEST, format!("`{text}`: {error}"))
    })
}

async fn answer<T: Serialize + Send + 'static>(
    site: Site,
    question: impl FnOnce(&Moment) -> rusqlite::Result<T> + Send + 'static,
) -> Answer {
    match site.ask(question).await {
        Ok(found) => Ok(([(CACHE_CONTROL, "no-store")], Json(found)).into_response()),
        Err(error) => Err(Problem::broken(&error)),
    }
}

/// The same where nothing may be found.
async fn one<T: Serialize + Send + 'static>(
    site: Site,
    question: impl FnOnce(&Moment) -> rusqlite::Result<Option<T>> + Send + 'static,
) -> Answer {
    match site.ask(question).await {
        Ok(Some(found)) => Ok(([(CACHE_CONTROL, "no-store")], Json(found)).into_response()),
        Ok(None) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no event has told of it, or it is older than what is kept",
        )),
        Err(error) => Err(Problem::broken(&error)),
    }
}

async fn fleet(State(site): State<Site>) -> Answer {
    answer(site, |moment| moment.reading.fleet()).await
}

async fn racks(State(site): State<Site>) -> Answer {
    answer(site, |moment| moment.reading.racks()).await
}

async fn rack(State(site): State<Site>, Path(rack): Path<String>) -> Answer {
    let rack: RackName = named(&rack)?;
    one(site, move |moment| moment.reading.rack(&rack)).await
}

async fn cycles_of(
    State(site): State<Site>,
    Path(rack): Path<String>,
    Asked(piece): Asked<Piece>,
) -> Answer {
    let rack: RackName = named(&rack)?;
    answer(site, move |moment| {
        moment
            .reading
            .cycles(Some(&rack), piece.after, piece.limit())
    })
    .await
}

async fn cycles(State(site): State<Site>, Asked(piece): Asked<Piece>) -> Answer {
    answer(site, move |moment| {
        moment.reading.cycles(None, piece.after, piece.limit())
    })
    .await
}

async fn cycle(State(site): State<Site>, Path(cycle): Path<String>) -> Answer {
    let cycle = named(&cycle)?;
    one(site, move |moment| moment.reading.cycle(cycle)).await
}

async fn machine(State(site): State<Site>, Path(machine): Path<String>) -> Answer {
    let machine: MachineName = named(&machine)?;
    one(site, move |moment| moment.reading.machine(&machine)).await
}

async fn decisions(
    State(site): State<Site>,
    Path(machine): Path<String>,
    Asked(piece): Asked<Piece>,
) -> Answer {
    let machine: MachineName = named(&machine)?;
    answer(site, move |moment| {
        moment
            .reading
            .decisions_about(&machine, piece.after, piece.limit())
    })
    .await
}

async fn job(State(site): State<Site>, Path(job): Path<String>) -> Answer {
    let job = named(&job)?;
    one(site, move |moment| moment.reading.job(job)).await
}

async fn events(
    State(site): State<Site>,
    Asked(filter): Asked<EventFilter>,
    Asked(piece): Asked<Piece>,
) -> Answer {
    answer(site, move |moment| {
        moment.reading.events(&filter, piece.after, piece.limit())
    })
    .await
}

/// How the broker stands, and what the history knows of claims.
#[derive(Serialize)]
struct System {
    #[serde(flatten)]
    broker: BrokerView,
    /// Machines that a job has.
    claims: u64,
}

async fn system(State(site): State<Site>) -> Answer {
    let asked = answer(site, |moment| {
        Ok(System {
            broker: moment.broker.clone(),
            claims: moment.reading.open_jobs_count()?,
        })
    });
    asked.await
}

async fn trends(State(site): State<Site>, Asked(span): Asked<Span>) -> Answer {
    if !span.is_sensible() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "`days` is a number from 1 to 3650",
        ));
    }
    answer(site, move |moment| {
        moment.reading.trends(span.from(moment.now()))
    })
    .await
}
