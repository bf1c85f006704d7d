//! The broker: reachable, new enough, as declared, and nothing lies dead in it.

use std::time::Duration;

use bus::service::INBOX;
use bus::topology::{Difference, Item, Sight, Topology};
use bus::{Bus, BusError, dead};

use super::{Findings, nodes, replicas};
use crate::app::App;
use crate::commands::dlq;
use crate::output::chain;

const WHAT: &str = "broker";

/// How long the broker may take for an answer. A person waits, and what does not answer is a finding.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long reading what the broker holds may take.
pub(super) const READ: Duration = Duration::from_secs(10);

/// `briefly`: whether work is possible, and no more; asked often, and with the key of a role that may see no more.
pub(super) async fn check(app: &App, briefly: bool, findings: &mut Findings) -> Option<Bus> {
    let bus = match app.bus().await {
        Ok(bus) => bus,
        Err(error) => {
            findings.wrong(WHAT, format!("{error:#}"));
            return None;
        }
    };
    findings.ok(WHAT, format!("version {} answers", bus.server_version()));
    if let Ok(Some(role)) = app.config.nats_role() {
        findings.ok("broker key", format!("the role {role}'s"));
    }
    if !briefly {
        inboxes(app.config.nats.inbox_prefix.as_deref(), findings);
    }
    let declared = app.config.topology();
    let sight = match declared.look(&bus, PATIENCE).await {
        Ok(sight) => sight,
        Err(error) => {
            findings.wrong("streams", chain(&error));
            return None;
        }
    };
    streams(&sight, &declared, findings);
    if !briefly {
        replicas::judge(&sight, &nodes::look(app).await, findings);
    }
    if sight.silent.iter().any(is_stream) {
        // Every further question would wait for it, too.
        findings.look("the rest", "what else the broker holds was not looked at");
        return None;
    }
    if briefly {
        return Some(bus);
    }
    let letters = letters(&bus, findings);
    match tokio::time::timeout(READ, letters).await {
        Ok(Ok(())) => {}
        Err(_) => findings.wrong(
            "dead letters",
            format!("the broker did not let them be read within {READ:?}"),
        ),
        // Another role's concern.
        Ok(Err(error @ BusError::Denied { .. })) => findings.look("dead letters", error),
        Ok(Err(error)) => findings.wrong("dead letters", chain(&error)),
    }
    Some(bus)
}

/// Whether the roles would answer a dashboard that has these settings and asks which of them are alive.
fn inboxes(prefix: Option<&str>, findings: &mut Findings) {
    let Some(prefix) = prefix.filter(|prefix| !prefix.starts_with(INBOX)) else {
        return;
    };
    findings.look(
        "inboxes",
        format!(
            "NATS_INBOX_PREFIX is `{prefix}`: roles say that they are alive only where it begins with `{INBOX}`, so a \
             dashboard with this setting shows none at /system; set one such as `{INBOX}_{prefix}`, and permit the user \
             to subscribe to `{INBOX}_{prefix}.>`"
        ),
    );
}

/// What is declared and what is found, and what does not answer.
fn streams(sight: &Sight, declared: &Topology, findings: &mut Findings) {
    let differences = sight.compare(declared);
    if differences.is_empty() {
        findings.ok("streams", "streams, consumers and buckets are as declared");
    }
    for difference in differences {
        match (&difference, difference.danger()) {
            (Difference::Silent(_), _) => {}
            (_, Some(danger)) => findings.wrong("streams", format!("{difference} ({danger})")),
            (_, None) => findings.look("streams", difference),
        }
    }
    let (streams, consumers) = sight.silent.iter().partition(|item| is_stream(item));
    let what_it_means = [
        (streams, "nothing of them can be read or stored", ""),
        (
            consumers,
            "nobody gets their tasks, which wait",
            "; for a consumer whose servers are lost for good: `nats consumer rm`, then `racktick setup`",
        ),
    ];
    for (silent, means, otherwise) in what_it_means {
        if let Some(silent) = list(silent) {
            let says = format!(
                "no answer from {silent}: no server leads them, so {means}; an election takes some seconds, else start the \
                 servers that are away{otherwise}"
            );
            findings.wrong("streams", says);
        }
    }
}

fn list(items: Vec<&Item>) -> Option<String> {
    let names: Vec<String> = items.into_iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn is_stream(item: &Item) -> bool {
    matches!(item, Item::Stream(_))
}

async fn letters(bus: &Bus, findings: &mut Findings) -> Result<(), BusError> {
    let (dead, stuck) = (dlq::count(bus).await?, dead::stuck(bus).await?.len());
    match (dead, stuck) {
        (0, 0) => findings.ok("dead letters", "none"),
        _ => findings.look(
            "dead letters",
            format!("{dead} dead letters, {stuck} messages that nobody gets any more: `racktick dlq list`"),
        ),
    }
    Ok(())
}
