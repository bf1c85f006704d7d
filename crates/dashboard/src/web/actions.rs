//! What operators do: tick, pause and resume a rack, cancel a job. Each is a form that says why, and answers with a
//! redirect to the page that it was on.

use std::error::Error;

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, RequestExt, Router};
use jiff::Timestamp;
use ledger::{Acted, TickRequest};
use model::action::{Action, Deed};
use model::id::JobId;
use model::machine::{CancelCause, CancelRequest};
use model::name::RackName;
use model::task::{LONGEST_WORDS, too_long};
use serde::Deserialize;

use super::access::{Visitor, is_from_here, to};
use super::pages;
use super::site::Site;

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/racks/{rack}/tick", post(tick))
        .route("/racks/{rack}/pause", post(pause))
        .route("/racks/{rack}/resume", post(resume))
        .route("/jobs/{job}/cancel", post(cancel))
}

/// Who acts and why. A request that makes one comes from an operator and from a form of this dashboard's.
struct Act {
    by: String,
    why: String,
    at: Timestamp,
    /// The page that the form was on.
    page: String,
}

/// What every form of an action says.
#[derive(Deserialize)]
struct Said {
    seal: String,
    reason: String,
}

/// Why something was not done: a status, and a sentence.
type Refusal = (StatusCode, String);

impl FromRequest<Site> for Act {
    type Rejection = Response;

    async fn from_request(mut request: Request, site: &Site) -> Result<Self, Response> {
        let action = request.uri().path().to_owned();
        let page = action
            .rsplit_once('/')
            .map_or("/", |(page, _)| page)
            .to_owned();
        let Ok(visitor) = request.extract_parts_with_state::<Visitor, _>(site).await;
        let is_from_here = is_from_here(request.headers());
        let Form(said) = Form::<Said>::from_request(request, site)
            .await
            .map_err(IntoResponse::into_response)?;
        match allowed(&visitor, is_from_here, &said) {
            Ok((by, why)) => {
                tracing::info!(action, by, why, "an operator acts");
                Ok(Self {
                    by,
                    why,
                    at: Timestamp::now(),
                    page,
                })
            }
            Err((status, says)) => Err(pages::refused(status, &says, &page)),
        }
    }
}

/// Who acts and why, if they may.
fn allowed(
    visitor: &Visitor,
    is_from_here: bool,
    said: &Said,
) -> Result<(String, String), Refusal> {
    let Some((name, seal)) = visitor.operator() else {
        let says = "this needs a token of an operator: `racktick dashboard token add NAME --role operator` makes one";
        return Err((StatusCode::FORBIDDEN, says.into()));
    };
    if said.seal != seal || !is_from_here {
        let says = "the form is from another page, or from before the dashboard was restarted: go back, load the page \
                    again, and try once more";
        return Err((StatusCode::FORBIDDEN, says.into()));
    }
    let reason = said.reason.trim();
    if reason.is_empty() {
        let says = "say why: whoever wonders later will see it";
        return Err((StatusCode::BAD_REQUEST, says.into()));
    }
    if let Some(length) = too_long(reason) {
        let says =
            format!("the reason is {length} bytes long; at most {LONGEST_WORDS} are allowed");
        return Err((StatusCode::BAD_REQUEST, says));
    }
    Ok((name.to_owned(), reason.to_owned()))
}

/// Something that the broker or the history did not do.
fn failed(error: &(dyn Error + 'static)) -> Refusal {
    tracing::warn!(error, "an action was not done");
    (StatusCode::BAD_GATEWAY, format!("it was not done: {error}"))
}

fn done(page: &str, result: Result<(), Refusal>) -> Response {
    match result {
        Ok(()) => to(page),
        Err((status, says)) => pages::refused(status, &says, page),
    }
}

async fn tick(State(site): State<Site>, Path(rack): Path<String>, act: Act) -> Response {
    let result = async {
        let request = TickRequest {
            reason: Some(act.why),
            ..TickRequest::of(rack_of(&rack)?, act.by)
        };
        let ticked = site.ledger().tick(&request).await;
        ticked.map(drop).map_err(|error| failed(&error))
    };
    done(&act.page, result.await)
}

async fn pause(State(site): State<Site>, Path(rack): Path<String>, act: Act) -> Response {
    done(&act.page, to_rack(&site, &rack, &act, Deed::Paused).await)
}

async fn resume(State(site): State<Site>, Path(rack): Path<String>, act: Act) -> Response {
    done(&act.page, to_rack(&site, &rack, &act, Deed::Resumed).await)
}

async fn cancel(State(site): State<Site>, Path(job): Path<String>, act: Act) -> Response {
    let request = CancelRequest {
        cause: CancelCause::Asked,
        by: act.by,
        why: act.why,
        at: act.at,
    };
    done(&act.page, cancel_one(&site, &job, &request).await)
}

fn rack_of(text: &str) -> Result<RackName, Refusal> {
    RackName::new(text).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

async fn to_rack(site: &Site, rack: &str, act: &Act, deed: Deed) -> Result<(), Refusal> {
    let rack = rack_of(rack)?;
    let action = Action {
        at: act.at,
        by: act.by.clone(),
        why: act.why.clone(),
        deed,
    };
    match site.ledger().act(&rack, &action).await {
        Ok(Acted::Done | Acted::AsItWas) => Ok(()),
        Ok(Acted::NoRack) => Err((
            StatusCode::NOT_FOUND,
            format!("rack {rack} has no schedule that could be switched off or on"),
        )),
        Err(error) => Err(failed(&error)),
    }
}

async fn cancel_one(site: &Site, job: &str, request: &CancelRequest) -> Result<(), Refusal> {
    let id: JobId = job.parse().map_err(|_| {
        (
            StatusCode::BAD_REQUEST,
            format!("`{job}` is no id of a job"),
        )
    })?;
    let view = site.ask(move |moment| moment.reading.job(id)).await;
    let view = view.map_err(|error| failed(&error))?;
    let Some(view) = view else {
        return Err((StatusCode::NOT_FOUND, format!("no event told of job {job}")));
    };
    let ledger = site.ledger();
    let cycle = ledger.cycle(&view.job.rack, view.job.cycle).await;
    let Some(cycle) = cycle.map_err(|error| failed(&error))? else {
        let says = format!(
            "the broker knows no cycle {} any more: the job is over",
            view.job.cycle
        );
        return Err((StatusCode::CONFLICT, says));
    };
    // Where there is nothing to cancel any more, the job's page says what became of it.
    let cancelled = ledger.cancel(&cycle, &view.job.machine, request).await;
    cancelled.map(drop).map_err(|error| failed(&error))
}
