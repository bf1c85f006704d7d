//! The broker: reachable, new enough, as declared, and nothing lies dead in it.

use bus::{Bus, BusError, dead};

use super::{Findings, nodes, replicas};
use crate::app::App;
use crate::commands::dlq;
use crate::output::chain;

const WHAT: &str = "broker";

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
    if let Err(error) = streams(app, &bus, findings).await {
        findings.wrong("streams", chain(&error));
        return None;
    }
    if briefly {
        return Some(bus);
    }
    match app.config.topology().standing(&bus).await {
        Ok(standings) => replicas::judge(&standings, &nodes::look(app).await, findings),
        Err(error) => findings.wrong("replicas", chain(&error)),
    }
    match letters(&bus, findings).await {
        Ok(()) => {}
        // Another role's concern.
        Err(error @ BusError::Denied { .. }) => findings.look("dead letters", error),
        Err(error) => findings.wrong("dead letters", chain(&error)),
    }
    Some(bus)
}

async fn streams(app: &App, bus: &Bus, findings: &mut Findings) -> Result<(), BusError> {
    let declared = app.config.topology();
    let differences = declared.compare(&declared.found(bus).await?);
    if differences.is_empty() {
        findings.ok("streams", "streams, consumers and buckets are as declared");
    }
    for difference in differences {
        match difference.danger() {
            Some(danger) => findings.wrong("streams", format!("{difference} ({danger})")),
            None => findings.look("streams", difference),
        }
    }
    Ok(())
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
