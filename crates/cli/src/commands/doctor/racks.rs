//! The racks: their tags exist, their machines have agents, and who stands in the way.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Ledger;
use maas::{Maas, MaasError};
use model::name::RackName;
use model::outcome::SkipReason;
use model::rack::RackRecord;
use testflinger::Testflinger;

use super::broker::READ;
use super::{Arguments, Findings};
use crate::app::App;
use crate::foresight::{Foresight, machines, spread_of};
use crate::output::chain;
use ledger::stored;

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
    let mut none = records.is_empty();
    if let Some(ledger) = ledger {
        match tokio::time::timeout(READ, stored::racks(ledger)).await {
            Err(_) => findings.wrong(
                "racks",
                format!("the broker did not let them be read within {READ:?}"),
            ),
            Ok(Ok(racks)) => {
                none &= racks.is_empty();
                for (rack, record) in racks {
                    match record {
                        Ok(record) => {
                            records.insert(rack, Some(record));
                        }
                        Err(error) => {
                            // What a tick would do is unknown then: nothing more is said of it.
                            records.remove(&rack);
                            findings.wrong(format!("rack {rack}"), chain(&error));
                        }
                    }
                }
            }
            Ok(Err(error)) => findings.wrong("racks", chain(&error)),
        }
    }
    if none {
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
    for (owner, count) in owners_in_the_way(&foresight) {
        let policy = &foresight.inputs.policy.maas_owners;
        let mut owners = match policy.is_empty() {
            true => vec![foresight.inputs.whoami.as_str()],
            false => policy.iter().map(String::as_str).collect(),
        };
        owners.push(owner);
        findings.look(
            &what,
            format!(
                "left alone because of MAAS user `{owner}`: {}; to let racktick wipe what is `{owner}`'s: \
                 `racktick rack set {rack} --policy 'maas_owners={}'`",
                machines(count),
                serde_json::json!(owners)
            ),
        );
    }
}

/// MAAS users whose machines are left alone for that, and how many.
fn owners_in_the_way(foresight: &Foresight) -> BTreeMap<&str, usize> {
    let mut owners = BTreeMap::new();
    for machine in &foresight.inputs.machines {
        let skip = foresight.decisions.skip.get(&machine.hostname);
        let owner = machine.owner.as_deref().filter(|owner| !owner.is_empty());
        if let (Some(skip), Some(owner)) = (skip, owner)
            && skip.reason == SkipReason::MaasOwner
        {
            *owners.entry(owner).or_default() += 1;
        }
    }
    owners
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
