//! What became of jobs, for spreadsheets: CSV as of RFC 4180.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use csv::{Terminator, WriterBuilder};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use model::outcome::Outcome;
use serde_json::Value;

use super::super::problem::Problem;
use super::super::site::Site;
use crate::views::{Cursor, JobOver, OverFilter};

/// How many rows are read and sent at once. What a client does not take is not read.
const AT_ONCE: usize = 1000;

const HEADINGS: [&str; 13] = [
    "at",
    "rack",
    "machine",
    "outcome",
    "cause",
    "phase",
    "exit_code",
    "http_status",
    "message",
    "submitted_at",
    "seconds",
    "cycle",
    "job",
];

/// All of them, the newest first, however many there are.
pub(super) async fn answer(site: Site, filter: OverFilter) -> Result<Response, Problem> {
    let headings = lines(&[HEADINGS.map(str::to_owned)]).map_err(|error| broken(&error))?;
    let first = piece(&site, &filter, None).await;
    let (first, next) = first.map_err(|error| broken(&error))?;
    let rest = stream::unfold(next, move |next| {
        let (site, filter) = (site.clone(), filter.clone());
        async move {
            // What is cut off must not look whole.
            let ended = async {
                site.clone().ended().await;
                Err(io::Error::other("the dashboard is about to end"))
            };
            let after = next?;
            let found = tokio::select! {
                ended = ended => ended,
                found = piece(&site, &filter, Some(after)) => found,
            };
            match found {
                Ok((text, next)) => Some((Ok(text), next)),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "verdicts are not sent any more");
                    Some((Err(io::Error::other("cut off")), None))
                }
            }
        }
    });
    let begin = stream::iter([Ok(headings), Ok(first)]);
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (
            CONTENT_DISPOSITION,
            "attachment; filename=\"racktick-verdicts.csv\"",
        ),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(begin.chain(rest))).into_response())
}

fn broken(error: &io::Error) -> Problem {
    Problem::out_of_order(error)
}

/// The next rows, and where those after them begin, if there may be some.
async fn piece(
    site: &Site,
    filter: &OverFilter,
    after: Option<Cursor>,
) -> io::Result<(Bytes, Option<Cursor>)> {
    let filter = filter.clone();
    let found = site.ask(move |moment| moment.reading.jobs_over(&filter, after, AT_ONCE));
    let found = found.await.map_err(io::Error::other)?;
    let next = match found.len() {
        AT_ONCE => found.last().map(|(place, _)| *place),
        _ => None,
    };
    let rows: Vec<_> = found.into_iter().map(|(_, job)| row(job)).collect();
    Ok((lines(&rows)?, next))
}

fn lines(rows: &[[String; HEADINGS.len()]]) -> io::Result<Bytes> {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        writer.write_record(row)?;
    }
    Ok(writer
        .into_inner()
        .map_err(|error| error.into_error())?
        .into())
}

fn row(job: JobOver) -> [String; HEADINGS.len()] {
    let outcome = serde_json::to_value(&job.outcome).unwrap_or_default();
    let part = |name: &str| match &outcome[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let message = match &job.outcome {
        Outcome::Rejected { message, .. } => harmless(message),
        _ => String::new(),
    };
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let lasted = job.submitted_at.map(|from| job.at.duration_since(from));
    [
        job.at.to_string(),
        harmless(job.rack.as_str()),
        harmless(job.machine.as_str()),
        job.outcome.word().to_owned(),
        part("cause"),
        part("phase"),
        part("exit_code"),
        part("status"),
        message,
        time(job.submitted_at),
        lasted
            .map(|lasted| lasted.as_secs().to_string())
            .unwrap_or_default(),
        job.cycle.to_string(),
        job.job.to_string(),
    ]
}

/// A text from outside that no spreadsheet takes for a formula: one that begins like one gets a quotation mark in
/// front, after which everything is text.
fn harmless(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    match is_formula {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}
