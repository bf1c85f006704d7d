//! Bringing a server to the declared topology.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::compare::covers;
use super::sight::{Contents, State, no_leader, state};
use super::{Config, Difference, Item, Topology};
use crate::connect::Bus;
use crate::error::BusError;
use crate::wire::PATIENCE;

/// What was changed, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The changes.
    pub changes: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.changes.as_slice() {
            [] => f.write_str("everything is as declared"),
            changes => f.write_str(&changes.join("\n")),
        }
    }
}

/// Makes streams, consumers and buckets what is declared. Changes nothing at all when one change would lose data.
///
/// # Errors
/// `Topology` with every reason when a change would lose data or is impossible; else when the broker cannot be asked.
pub async fn setup(bus: &Bus, declared: &Topology) -> Result<Report, BusError> {
    let differences = declared.compare(&declared.found(bus).await?);
    let mut refused = Vec::new();
    for difference in &differences {
        match difference {
            Difference::Missing(_)
            | Difference::Silent(_)
            | Difference::Field {
                item: Item::Consumer { .. },
                ..
            } => {}
            Difference::Taker { .. } => refused.push(difference.to_string()),
            Difference::Field {
                item: Item::Stream(name),
                field,
                now,
                wanted,
            } => {
                if let Some(why) = loss(bus, name, field, now, wanted).await? {
                    refused.push(format!("{difference}; refused: {why}"));
                }
            }
        }
    }
    if !refused.is_empty() {
        return Err(BusError::Topology(refused));
    }
    let mut report = Report::default();
    create_missing(bus, declared, &differences, &mut report).await?;
    let mut changed: Vec<&Item> = Vec::new();
    for difference in &differences {
        let Difference::Field {
            item,
            field,
            now,
            wanted,
        } = difference
        else {
            continue;
        };
        if !changed.contains(&item) {
            changed.push(item);
        }
        report
            .changes
            .push(format!("{item}: {field} changed from {now} to {wanted}"));
    }
    for item in changed {
        change(bus, declared, item).await?;
    }
    Ok(report)
}

/// For a role that starts: creates what is missing, changes nothing that exists, and returns what differs. A consumer that
/// does not answer hinders nobody who does other work: it is among what differs.
///
/// # Errors
/// `Topology` with every reason when running would be unsafe; else when the broker cannot be asked, or a stream does not
/// answer.
pub async fn ensure(bus: &Bus, declared: &Topology) -> Result<Vec<Difference>, BusError> {
    let dangers = |differences: &[Difference]| -> Vec<String> {
        let danger =
            |difference: &Difference| Some(format!("{difference} ({})", difference.danger()?));
        differences.iter().filter_map(danger).collect()
    };
    let differences = differing(bus, declared).await?;
    let found = dangers(&differences);
    if !found.is_empty() {
        return Err(BusError::Topology(found));
    }
    if !differences
        .iter()
        .any(|difference| matches!(difference, Difference::Missing(_)))
    {
        return Ok(differences);
    }
    let mut report = Report::default();
    create_missing(bus, declared, &differences, &mut report).await?;
    for change in report.changes {
        tracing::info!(change, "set up");
    }
    // Another role may have created it first, and otherwise.
    let differences = differing(bus, declared).await?;
    let found = dangers(&differences);
    if found.is_empty() {
        Ok(differences)
    } else {
        Err(BusError::Topology(found))
    }
}

/// For a role: consumers may be silent, streams not.
async fn differing(bus: &Bus, declared: &Topology) -> Result<Vec<Difference>, BusError> {
    let sight = declared.look(bus, PATIENCE).await?;
    let mut streams = sight
        .silent
        .iter()
        .filter(|item| matches!(item, Item::Stream(_)));
    match streams.next() {
        None => Ok(sight.compare(declared)),
        Some(stream) => Err(no_leader(stream)),
    }
}

async fn create_missing(
    bus: &Bus,
    declared: &Topology,
    differences: &[Difference],
    report: &mut Report,
) -> Result<(), BusError> {
    for difference in differences {
        let Difference::Missing(item) = difference else {
            continue;
        };
        let what = format!("creating {item}");
        let created: Result<Value, BusError> = match item {
            Item::Stream(name) => {
                bus.api(
                    &what,
                    &format!("STREAM.CREATE.{name}"),
                    &declared.streams[name],
                )
                .await
            }
            Item::Consumer { stream, name } => {
                let config = &declared.consumers[&(stream.clone(), name.clone())];
                put_consumer(bus, &what, stream, name, config, "create").await
            }
        };
        match created {
            Ok(_) => report.changes.push(format!("{item}: created")),
            // 10058, 10148: created by somebody else in between, with another configuration.
            Err(BusError::Refused {
                code: 10058 | 10148,
                ..
            }) => {}
            // A role may not create it, and shall not need to.
            Err(BusError::Denied { .. }) => {
                return Err(BusError::Missing {
                    what: item.to_string(),
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Lays what is declared over what is there, so that what is not declared stays.
async fn change(bus: &Bus, declared: &Topology, item: &Item) -> Result<(), BusError> {
    let what = format!("changing {item}");
    let found = declared.found(bus).await?;
    let overlaid = |now: Option<&Config>, wanted: &Config| {
        let mut config = now.cloned().unwrap_or_default();
        config.extend(wanted.clone());
        config
    };
    match item {
        Item::Stream(name) => {
            let config = overlaid(found.streams.get(name), &declared.streams[name]);
            bus.api::<Value>(&what, &format!("STREAM.UPDATE.{name}"), &config)
                .await?;
        }
        Item::Consumer { stream, name } => {
            let key = (stream.clone(), name.clone());
            let config = overlaid(found.consumers.get(&key), &declared.consumers[&key]);
            put_consumer(bus, &what, stream, name, &config, "update").await?;
        }
    }
    Ok(())
}

async fn put_consumer(
    bus: &Bus,
    what: &str,
    stream: &str,
    name: &str,
    config: &Config,
    action: &str,
) -> Result<Value, BusError> {
    let request = json!({"stream_name": stream, "config": config, "action": action});
    bus.api(what, &format!("CONSUMER.CREATE.{stream}.{name}"), &request)
        .await
}

/// What a change of a stream would lose, or why it cannot be made; `None` when it is harmless.
async fn loss(
    bus: &Bus,
    stream: &str,
    field: &str,
    now: &Value,
    wanted: &Value,
) -> Result<Option<String>, BusError> {
    Ok(match field {
        "retention" | "storage" => {
            Some("a stream cannot change it; back the stream up, delete it, and run `racktick setup` again".into())
        }
        "subjects" => lost_subjects(bus, stream, now, wanted).await?,
        "max_age" | "max_bytes" | "max_msgs" | "max_msgs_per_subject" => {
            let Some(State { state: contents, .. }) = state(bus, stream, PATIENCE).await? else { return Ok(None) };
            match (wanted.as_i64().unwrap_or(0), now.as_i64().unwrap_or(0)) {
                (..=0, _) => None,
                (limit, before) if before > 0 && limit >= before => None,
                (limit, _) if field == "max_msgs_per_subject" => lost_history(bus, stream, limit).await?,
                (limit, _) => lost_by_limit(field, limit, &contents),
            }
        }
        _ => None,
    })
}

fn lost_by_limit(field: &str, limit: i64, contents: &Contents) -> Option<String> {
    let above = |number: u64| i64::try_from(number).unwrap_or(i64::MAX) > limit;
    match field {
        _ if contents.messages == 0 => None,
        "max_bytes" if above(contents.bytes) => Some(format!("it holds {} bytes", contents.bytes)),
        "max_msgs" if above(contents.messages) => {
            Some(format!("it holds {} messages", contents.messages))
        }
        "max_age" => {
            let age = Timestamp::now().duration_since(contents.first_ts);
            let whole = SignedDuration::from_secs(age.as_secs());
            (age > SignedDuration::from_nanos(limit))
                .then(|| format!("its oldest message is {whole:#} old"))
        }
        _ => None,
    }
    .map(|holds| {
        format!("{holds}, and what is over the limit would be dropped; remove it yourself first")
    })
}

async fn lost_history(bus: &Bus, stream: &str, limit: i64) -> Result<Option<String>, BusError> {
    let above = |number: u64| i64::try_from(number).unwrap_or(i64::MAX) > limit;
    let subjects = bus.subjects(stream, ">").await?;
    let full = subjects.into_iter().find(|(_, messages)| above(*messages));
    Ok(full.map(|(subject, messages)| {
        format!("{subject} holds {messages} messages, and the oldest would be dropped")
    }))
}

async fn lost_subjects(
    bus: &Bus,
    stream: &str,
    now: &Value,
    wanted: &Value,
) -> Result<Option<String>, BusError> {
    let list = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let wanted = list(wanted);
    for before in list(now) {
        if wanted.iter().any(|subject| covers(subject, &before)) {
            continue;
        }
        for (subject, messages) in bus.subjects(stream, &before).await? {
            if !wanted.iter().any(|pattern| covers(pattern, &subject)) {
                return Ok(Some(format!(
                    "it holds {messages} messages on {subject}, which would belong to no subject any more"
                )));
            }
        }
    }
    Ok(None)
}
