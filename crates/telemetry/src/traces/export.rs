//! Spans on their way to the collector.

use std::time::Duration;

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Spans in one request at most.
const TOGETHER: usize = 512;

/// How long the collector may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Sends spans until it is told to end, and then what is left. After the first, more are waited for as long as `gather`. A
/// collector that does not answer costs the spans that come meanwhile, and nothing else.
pub(super) async fn export(
    exporter: SpanExporter,
    gather: Duration,
    mut spans: mpsc::Receiver<SpanData>,
    mut ended: oneshot::Receiver<()>,
) {
    let mut is_lost = false;
    let mut is_ending = false;
    while !is_ending {
        let mut batch = Vec::new();
        tokio::select! {
            _ = &mut ended => is_ending = true,
            came = spans.recv_many(&mut batch, TOGETHER) => {
                // Nobody makes any more.
                is_ending = came == 0;
                let more = async {
                    while batch.len() < TOGETHER {
                        let room = TOGETHER - batch.len();
                        if spans.recv_many(&mut batch, room).await == 0 {
                            break;
                        }
                    }
                };
                tokio::select! {
                    _ = &mut ended => is_ending = true,
                    _ = timeout(gather, more) => {}
                }
            }
        }
        if is_ending {
            while let Ok(span) = spans.try_recv() {
                batch.push(span);
            }
        }
        if batch.is_empty() {
            continue;
        }
        let sent = match timeout(WITHIN, exporter.export(batch)).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {WITHIN:?}")),
        };
        match sent {
            Ok(()) if std::mem::take(&mut is_lost) => {
                tracing::info!("the collector takes traces again")
            }
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut is_lost, true) {
                    tracing::warn!(
                        error,
                        "the collector takes no traces; until it does, they are lost"
                    );
                }
            }
        }
    }
}
