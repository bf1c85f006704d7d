//! What operators do: tick, pause and resume a rack, cancel a job. Each is a form that says why, and answers with a
//! redirect to the page that it was on.

use std::error::Error;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use axum::{Form, Router};
use jiff::Timestamp;
use ledger::{Ledger, LedgerError, TickRequest};
use model::cycle::Fate;
use model::id::JobId;
use model::machine::{CancelCause, CancelRequest};
use model::name::RackName;
use model::rack::Pause;
use model::task::{LONGEST_WORDS, too_long};
use serde::Deserialize;

use super::access::{Visitor, is_from_here, to};
use super::pages;
use super::site::Site;
use crate::views::JobSummary;

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/racks/{rack}/tick", post(tick))
        .route("/racks/{rack}/pause", post(pause))
        .route("/racks/{rack}/resume", post(resume))
        .route("/jobs/{job}/cancel", post(cancel))
}

/// What every form of an action says.
#[derive(Deserialize)]
struct Said {
    seal: String,
    reason: String,
}

/// Why something was not done: a status, and a sentence.
type Refusal = (StatusCode, String);

/// Who acts and why, if they may.
fn allowed(visitor: &Visitor, headers: &HeaderMap, said: &Said) -> Result<Act, Refusal> {
    let Some((name, seal)) = visitor.operator() else {
        let says = "this needs a token of an operator: `racktick dashboard token add NAME --role operator` makes one";
        return Err((StatusCode::FORBIDDEN, says.into()));
    };
    if said.seal != seal || !is_from_here(headers) {
        let says = "the form is from another page, or from before the dashboard was restarted: go back, load the page \
                    again, and try once more";
        return Err((StatusCode::FORBIDDEN, says.into()));
    }
    let reason = said.reason.trim();
    if reason.is_empty() {
        return Err((
            StatusCode::BAD_REQUEST,
            "say why: whoever wonders later will see it".into(),
        ));
    }
    if let Some(length) = too_long(reason) {
        let says =
            format!("the reason is {length} bytes long; at most {LONGEST_WORDS} are allowed");
        return Err((StatusCode::BAD_REQUEST, says));
    }
    Ok(Act {
        by: name.to_owned(),
        why: reason.to_owned(),
        at: Timestamp::now(),
    })
}

struct Act {
    by: String,
    why: String,
    at: Timestamp,
}

/// Something that the broker did not do.
fn failed(error: &(dyn Error + 'static)) -> Refusal {
    tracing::warn!(error, "an action was not done");
    let mut says = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        says.push_str(&format!(": {error}"));
        cause = error.source();
    }
    (StatusCode::BAD_GATEWAY, format!("it was not done: {says}"))
}

fn done(page: &str, result: Result<(), Refusal>) -> Response {
    match result {
        Ok(()) => to(page),
        Err((status, says)) => pages::refused(status, &says, page),
    }
}

fn rack_of(text: &str) -> Result<RackName, Refusal> {
    RackName::new(text).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn rack_page(rack: &str) -> String {
    format!("/racks/{}", pages::in_address(rack))
}

async fn tick(
    State(site): State<Site>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(rack): Path<String>,
    Form(said): Form<Said>,
) -> Response {
    let result = async {
        let act = allowed(&visitor, &headers, &said)?;
        let request = TickRequest {
            reason: Some(act.why),
            ..TickRequest::of(rack_of(&rack)?, act.by)
        };
        let ticked = site.ledger().tick(&request).await;
        let cycle = ticked.map_err(|error| failed(&error))?;
        tracing::info!(rack, %cycle, by = request.by, "ticked");
        Ok(())
    };
    done(&rack_page(&rack), result.await)
}

async fn pause(
    State(site): State<Site>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(rack): Path<String>,
    Form(said): Form<Said>,
) -> Response {
    let result = async {
        let act = allowed(&visitor, &headers, &said)?;
        tracing::info!(rack, by = act.by, why = act.why, "pausing");
        let pause = Pause {
            by: act.by,
            why: act.why,
            at: act.at,
        };
        let rack = rack_of(&rack)?;
        let changed = site
            .ledger()
            .change_rack(&rack, |record| record.pause(pause.clone()))
            .await;
        is_there(&rack, changed)
    };
    done(&rack_page(&rack), result.await)
}

async fn resume(
    State(site): State<Site>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(rack): Path<String>,
    Form(said): Form<Said>,
) -> Response {
    let result = async {
        let act = allowed(&visitor, &headers, &said)?;
        tracing::info!(rack, by = act.by, why = act.why, "resuming");
        let rack = rack_of(&rack)?;
        let changed = site
            .ledger()
            .change_rack(&rack, |record| record.resume(act.at))
            .await;
        is_there(&rack, changed)
    };
    done(&rack_page(&rack), result.await)
}

fn is_there(rack: &RackName, changed: Result<bool, LedgerError>) -> Result<(), Refusal> {
    match changed {
        Ok(true) => Ok(()),
        Ok(false) => Err((
            StatusCode::NOT_FOUND,
            format!("rack {rack} has no schedule that could be switched off or on"),
        )),
        Err(error) => Err(failed(&error)),
    }
}

async fn cancel(
    State(site): State<Site>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(job): Path<String>,
    Form(said): Form<Said>,
) -> Response {
    let result = async {
        let act = allowed(&visitor, &headers, &said)?;
        let id: JobId = job.parse().map_err(|_| {
            (
                StatusCode::BAD_REQUEST,
                format!("`{job}` is no id of a job"),
            )
        })?;
        let view = site.ask(move |moment| moment.reading.job(id)).await;
        let view = view.map_err(|error| failed(&error))?;
        let view = view.ok_or((StatusCode::NOT_FOUND, format!("no event told of job {job}")))?;
        tracing::info!(job, by = act.by, why = act.why, "cancelling");
        let request = CancelRequest {
            cause: CancelCause::Asked,
            by: act.by,
            why: act.why,
            at: act.at,
        };
        cancel_one(site.ledger(), &view.job, &request).await
    };
    done(&format!("/jobs/{}", pages::in_address(&job)), result.await)
}

async fn cancel_one(
    ledger: &Ledger,
    job: &JobSummary,
    request: &CancelRequest,
) -> Result<(), Refusal> {
    let cycle = ledger.cycle(&job.rack, job.cycle).await;
    let cycle = cycle.map_err(|error| failed(&error))?;
    match cycle {
        Some(cycle) if matches!(cycle.fate, Fate::Planned(_)) => {
            let cancelled = ledger.cancel(&cycle, &job.machine, request).await;
            cancelled.map(drop).map_err(|error| failed(&error))
        }
        _ => Err((
            StatusCode::CONFLICT,
            format!(
                "the broker knows no cycle {} any more: the job is over",
                job.cycle
            ),
        )),
    }
}
