//! The racks: their tags exist, their machines have agents, and who stands in the way.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Ledger;
use maas::{Maas, MaasError};
use model::name::RackName;
use model::outcome::SkipReason;
use model::rack::RackRecord;
use testflinger::Testflinger;

use super::{Arguments, Findings, chain};
use crate::app::App;
use crate::commands::rack;
use crate::foresight::{Foresight, machines, spread_of};

/// How many names are listed before the rest is only counted.
const NAMED: usize = 5;

pub(super) async fn check(
    arguments: &Arguments,
    app: &App,
    ledger: Option<&Ledger>,
    maas: &Maas,
    testflinger: &Testflinger,
    findings: &mut Findings,
) {
    let mut records: BTreeMap<RackName, Option<RackRecord>> = arguments
        .racks
        .iter()
        .map(|rack| (rack.clone(), None))
        .collect();
    if let Some(ledger) = ledger {
        match rack::all(ledger).await {
            Ok(racks) => {
                records.extend(racks.into_iter().map(|(rack, record)| (rack, Some(record))))
            }
            Err(error) => findings.wrong("racks", chain(&error)),
        }
    }
    if records.is_empty() {
        findings.look("racks", "none were added: `racktick rack add <MAAS tag>`");
    }
    let mut in_maas = BTreeSet::new();
    for (rack, record) in &records {
        match maas.machines_by_tag(rack.as_str()).await {
            Ok(list) => in_maas.extend(list.into_iter().map(|machine| machine.hostname)),
            Err(MaasError::UnknownTag(_)) => {
                findings.wrong(
                    format!("rack {rack}"),
                    "MAAS has no such tag: put it on the rack's machines",
                );
                continue;
            }
            Err(error) => {
                findings.wrong(format!("rack {rack}"), chain(&error));
                continue;
            }
        }
        if let Some(ledger) = ledger {
            one(rack, record.as_ref(), app, ledger, findings).await;
        }
    }
    names(&records, &in_maas, testflinger, findings).await;
}

async fn one(
    rack: &RackName,
    record: Option<&RackRecord>,
    app: &App,
    ledger: &Ledger,
    findings: &mut Findings,
) {
    let what = format!("rack {rack}");
    let foresight = match Foresight::read(&app.config, ledger, rack, record).await {
        Ok(foresight) => foresight,
        Err(error) => return findings.wrong(what, format!("{error:#}")),
    };
    let sentence = foresight.sentence(spread_of(&app.config, rack, record, None));
    match (
        foresight.decisions.deploy.is_empty(),
        record.is_some_and(|record| record.paused.is_some()),
    ) {
        (_, true) => findings.look(
            &what,
            "paused: no machine is deployed until `racktick rack resume`",
        ),
        (true, false) => findings.look(&what, sentence),
        (false, false) => findings.ok(&what, sentence),
    }
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    for skip in foresight.decisions.skip.values() {
        if skip.reason == SkipReason::MaasOwner {
            *owners
                .entry(skip.detail.as_deref().unwrap_or("nobody"))
                .or_default() += 1;
        }
    }
    for (owner, count) in owners {
        findings.look(
            &what,
            format!(
                "{} of MAAS user `{owner}` are left alone; if they may be wiped: \
                 `racktick rack set {rack} --policy 'maas_owners=[\"{}\", \"{owner}\"]'`",
                machines(count),
                foresight.inputs.whoami
            ),
        );
    }
}

/// Names that match on neither side: machines without an agent, agents that look like a rack's and are in no rack.
async fn names(
    records: &BTreeMap<RackName, Option<RackRecord>>,
    in_maas: &BTreeSet<String>,
    testflinger: &Testflinger,
    findings: &mut Findings,
) {
    let agents = match testflinger.agents().await {
        Ok(agents) => agents
            .into_iter()
            .map(|agent| agent.name)
            .collect::<BTreeSet<_>>(),
        Err(error) => return findings.wrong("Testflinger agents", chain(&error)),
    };
    let without_agent: Vec<&String> = in_maas.difference(&agents).collect();
    let without_machine: Vec<&String> = agents.difference(in_maas).collect();
    if without_agent.is_empty() && without_machine.is_empty() {
        return findings.ok(
            "names",
            "every machine of the racks has an agent of its name, and the other way round",
        );
    }
    if !without_agent.is_empty() {
        let says = format!(
            "machines in MAAS without an agent of their name: {}",
            some(&without_agent)
        );
        findings.look("names", says);
    }
    // A Testflinger server serves more than these racks, so strangers there are normal.
    if !without_machine.is_empty() && !records.is_empty() {
        let says = format!(
            "agents that are in none of these racks: {}",
            some(&without_machine)
        );
        findings.ok("names", says);
    }
}

fn some(names: &[&String]) -> String {
    let named: Vec<&str> = names.iter().take(NAMED).map(|name| name.as_str()).collect();
    match names.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
