//! What operators do: tick, pause and resume a rack, cancel a job, replay a dead letter; and what admins do: drop one, say
//! who may sign in. Each is a form that says why, and answers with a redirect to the page that it was on.

use std::error::Error;

use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{RequestExt, Router};
use bus::dead::{self, Kept};
use jiff::Timestamp;
use ledger::{Acted, Ledger, Person, Replayed, TickRequest};
use model::action::{Action, Deed};
use model::id::JobId;
use model::machine::{CancelCause, CancelRequest};
use model::name::RackName;
use model::task::{LONGEST_WORDS, too_long};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::access::{Visitor, is_from_here, to};
use super::asked::{Letter, Named, Posted};
use super::pages;
use super::problem::Problem;
use super::site::Site;
use crate::tokens::{Role, TokenError, Tokens};

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/racks/{rack}/tick", post(tick))
        .route("/racks/{rack}/pause", post(pause))
        .route("/racks/{rack}/resume", post(resume))
        .route("/jobs/{job}/cancel", post(cancel))
        .route("/system/dead/{number}/replay", post(replay))
        .route("/system/dead/{number}/drop", post(drop_letter))
        .route("/access/add", post(add_token))
        .route("/access/{name}/remove", post(remove_token))
}

/// Who acts and why. A request that makes one comes from an operator and from a form of this dashboard's.
struct Act {
    by: String,
    why: String,
    at: Timestamp,
    /// The page that the form was on.
    page: String,
    /// Whom it is about, where the form says so.
    name: String,
    /// What they may do, where the form says so.
    role: String,
}

/// The same of an admin.
struct AdminAct(Act);

/// What every form of an action says.
#[derive(Deserialize)]
struct Said {
    seal: String,
    reason: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
}

/// Why something was not done: a status, and a sentence.
type Refusal = (StatusCode, String);

impl FromRequest<Site> for Act {
    type Rejection = Response;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Response> {
        Self::of(Role::Operator, request, site).await
    }
}

impl FromRequest<Site> for AdminAct {
    type Rejection = Response;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Response> {
        Act::of(Role::Admin, request, site).await.map(Self)
    }
}

impl Act {
    async fn of(role: Role, mut request: Request, site: &Site) -> Result<Self, Response> {
        let action = request.uri().path().to_owned();
        let page = page_of(&action).to_owned();
        let Ok(visitor) = request.extract_parts_with_state::<Visitor, _>(site).await;
        let is_from_here = is_from_here(request.headers());
        let form = Posted::<Said>::from_request(request, site).await;
        let Posted(said) = form.map_err(|problem| problem.going_back(&page).into_response())?;
        match allowed(&visitor, role, is_from_here, &said) {
            Ok((by, why)) => {
                tracing::info!(action, by, why, "somebody acts");
                Ok(Self {
                    by,
                    why,
                    at: Timestamp::now(),
                    page,
                    name: said.name,
                    role: said.role,
                })
            }
            Err((status, says)) => Err(Problem::refused(status, says, &page).into_response()),
        }
    }

    fn person(&self) -> Person {
        Person {
            by: self.by.clone(),
            why: self.why.clone(),
            at: self.at,
        }
    }
}

/// The page on which the form of an action is.
fn page_of(action: &str) -> &str {
    match action.split('/').nth(1) {
        Some("system") => "/system",
        Some("access") => "/access",
        _ => action.rsplit_once('/').map_or("/", |(page, _)| page),
    }
}

/// Who acts and why, if they may.
fn allowed(
    visitor: &Visitor,
    role: Role,
    is_from_here: bool,
    said: &Said,
) -> Result<(String, String), Refusal> {
    let Some((name, seal)) = visitor.who_may(role) else {
        let role = role.name();
        let says = format!(
            "this needs the role {role}: `racktick dashboard token add NAME --role {role}` makes a token that has it"
        );
        return Err((StatusCode::FORBIDDEN, says));
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

fn ledger(site: &Site) -> Result<Ledger, Refusal> {
    site.ledger().ok_or_else(|| {
        let says = "it was not done: the broker was not reached since the dashboard started";
        (StatusCode::SERVICE_UNAVAILABLE, says.to_owned())
    })
}

fn done(page: &str, result: Result<(), Refusal>) -> Response {
    match result {
        Ok(()) => to(page),
        Err((status, says)) => Problem::refused(status, says, page).into_response(),
    }
}

async fn tick(State(site): State<Site>, Named(rack): Named<RackName>, act: Act) -> Response {
    let result = async {
        let request = TickRequest {
            reason: Some(act.why),
            ..TickRequest::of(rack, act.by)
        };
        let ticked = ledger(&site)?.tick(&request).await;
        ticked.map(drop).map_err(|error| failed(&error))
    };
    done(&act.page, result.await)
}

async fn pause(State(site): State<Site>, Named(rack): Named<RackName>, act: Act) -> Response {
    done(&act.page, to_rack(&site, &rack, &act, Deed::Paused).await)
}

async fn resume(State(site): State<Site>, Named(rack): Named<RackName>, act: Act) -> Response {
    done(&act.page, to_rack(&site, &rack, &act, Deed::Resumed).await)
}

async fn cancel(State(site): State<Site>, Named(job): Named<JobId>, act: Act) -> Response {
    let request = CancelRequest {
        cause: CancelCause::Asked,
        by: act.by,
        why: act.why,
        at: act.at,
    };
    done(&act.page, cancel_one(&site, job, &request).await)
}

async fn replay(
    State(site): State<Site>,
    Named(Letter(number)): Named<Letter>,
    act: Act,
) -> Response {
    let result = async {
        let kept = letter(&site, number).await?;
        match ledger(&site)?.replay(&kept, &act.person()).await {
            Ok(Replayed::Done(caution)) => {
                if let Some(caution) = caution {
                    tracing::warn!("dead letter {number} {caution}");
                }
                Ok(())
            }
            Ok(Replayed::Stays(why)) => Err((
                StatusCode::CONFLICT,
                format!("dead letter {number} stays: {why}"),
            )),
            Err(error) => Err(failed(&error)),
        }
    };
    done(&act.page, result.await)
}

async fn drop_letter(
    State(site): State<Site>,
    Named(Letter(number)): Named<Letter>,
    AdminAct(act): AdminAct,
) -> Response {
    let result = async {
        let kept = letter(&site, number).await?;
        let dropped = ledger(&site)?.drop_letter(&kept, &act.person()).await;
        dropped.map(drop).map_err(|error| failed(&error))
    };
    done(&act.page, result.await)
}

async fn letter(site: &Site, number: u64) -> Result<Kept, Refusal> {
    match dead::get(ledger(site)?.bus(), number).await {
        Ok(Some(kept)) => Ok(kept),
        Ok(None) => Err((
            StatusCode::NOT_FOUND,
            format!("there is no dead letter {number} any more: somebody replayed or dropped it"),
        )),
        Err(error) => Err(failed(&error)),
    }
}

/// Answers with the token itself, which is shown this once.
async fn add_token(State(site): State<Site>, AdminAct(act): AdminAct) -> Response {
    let name = act.name.trim();
    let added = match act.role.parse::<Role>() {
        Ok(role) => {
            let (name, at) = (name.to_owned(), act.at);
            change_tokens(&site, move |tokens| tokens.add(&name, role, at)).await
        }
        Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
    };
    match added {
        Ok(token) => {
            tracing::info!(name, role = act.role, by = act.by, "a token is made");
            pages::access::made(name, &token)
        }
        Err((status, says)) => Problem::refused(status, says, &act.page).into_response(),
    }
}

async fn remove_token(
    State(site): State<Site>,
    Named(name): Named<String>,
    AdminAct(act): AdminAct,
) -> Response {
    let removed = change_tokens(&site, move |tokens| tokens.remove(&name)).await;
    done(&act.page, removed)
}

/// Changes who may sign in. It may wait for others who do, and on a disk.
async fn change_tokens<T: Send + 'static>(
    site: &Site,
    change: impl FnOnce(&Tokens) -> Result<T, TokenError> + Send + 'static,
) -> Result<T, Refusal> {
    let tokens = site.access().tokens.clone();
    let changed = spawn_blocking(move || change(&tokens)).await;
    let changed = changed.map_err(|error| failed(&error))?;
    changed.map_err(|error| of_tokens(&error))
}

fn of_tokens(error: &TokenError) -> Refusal {
    let status = match error {
        TokenError::Taken(_) => StatusCode::CONFLICT,
        TokenError::Unknown { .. } => StatusCode::NOT_FOUND,
        TokenError::BadName(_) => StatusCode::BAD_REQUEST,
        _ => {
            let error = error as &dyn Error;
            tracing::error!(error, "tokens cannot be changed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    (status, error.to_string())
}

async fn to_rack(site: &Site, rack: &RackName, act: &Act, deed: Deed) -> Result<(), Refusal> {
    let action = Action {
        at: act.at,
        by: act.by.clone(),
        why: act.why.clone(),
        deed,
    };
    match ledger(site)?.act(rack, &action).await {
        Ok(Acted::Done | Acted::AsItWas) => Ok(()),
        Ok(Acted::NoRack) => Err((
            StatusCode::NOT_FOUND,
            format!("rack {rack} has no schedule that could be switched off or on"),
        )),
        Err(error) => Err(failed(&error)),
    }
}

async fn cancel_one(site: &Site, job: JobId, request: &CancelRequest) -> Result<(), Refusal> {
    let view = site.ask(move |moment| moment.reading.job(job)).await;
    let view = view.map_err(|error| failed(&error))?;
    let Some(view) = view else {
        return Err((StatusCode::NOT_FOUND, format!("no event told of job {job}")));
    };
    let ledger = ledger(site)?;
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
