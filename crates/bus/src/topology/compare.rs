//! What differs between two topologies, and what of it makes running unsafe. Pure.

use std::collections::BTreeSet;
use std::fmt;

use jiff::SignedDuration;
use model::subject::{filter, stream};
use serde_json::Value;

use super::{Config, Topology, is_work_queue};

/// A thing of a topology.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A stream, or a bucket by its stream's name (`KV_racks`, `OBJ_evidence`).
    Stream(String),
    /// A consumer.
    Consumer {
        /// Its stream.
        stream: String,
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(name) => match name
                .strip_prefix("KV_")
                .or_else(|| name.strip_prefix("OBJ_"))
            {
                Some(bucket) => write!(f, "bucket {bucket}"),
                None => write!(f, "stream {name}"),
            },
            Self::Consumer { stream, name } => write!(f, "consumer {name} of {stream}"),
        }
    }
}

/// One difference between what is declared and what is found.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// Declared and not found.
    Missing(Item),
    /// Found with another value.
    Field {
        /// Where.
        item: Item,
        /// Which field, by the server's name.
        field: String,
        /// The value found; null when the server leaves it out.
        now: Value,
        /// The value declared.
        wanted: Value,
    },
    /// A consumer that would take away what is held back on a work queue.
    Taker {
        /// The consumer.
        item: Item,
        /// Its filter.
        filter: String,
    },
    /// Nothing is known of it, because it does not answer.
    Silent(Item),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(item) => write!(f, "{item} is missing: run `racktick setup`"),
            Self::Field {
                item,
                field,
                now,
                wanted,
            } => write!(
                f,
                "{item} differs in {field} (is {}, declared {}): run `racktick setup`",
                shown(field, now),
                shown(field, wanted)
            ),
            Self::Taker { item, filter } => {
                write!(
                    f,
                    "{item} takes `{filter}`, which takes away what is held back until its time: delete it"
                )
            }
            Self::Silent(item) => write!(
                f,
                "{item} does not answer, as while no server leads it: `racktick doctor` says more"
            ),
        }
    }
}

impl Difference {
    /// Why no role may run with this difference; `None` when it may.
    pub fn danger(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) | Self::Silent(_) => None,
            Self::Taker { .. } => Some("what is held back would be lost"),
            Self::Field {
                item: Item::Stream(name),
                field,
                ..
            } => {
                let queue = name == stream::RACK || name == stream::TASK;
                match field.as_str() {
                    "retention" => Some("messages would be kept or dropped at the wrong time"),
                    "subjects" => Some("messages would be refused or end in another stream"),
                    "storage" => Some("what is acknowledged would not survive a restart"),
                    "allow_msg_schedules" => Some("nothing could be held back until its time"),
                    "allow_atomic" => Some("a cycle's tasks could go out in part"),
                    "max_age" | "max_msgs" | "max_bytes" | "max_msgs_per_subject" | "discard"
                        if queue =>
                    {
                        Some("work that waits could be dropped")
                    }
                    _ => None,
                }
            }
            Self::Field {
                item: Item::Consumer { .. },
                field,
                ..
            } => match field.as_str() {
                "filter_subject" => Some("it would take other messages than its own"),
                "ack_policy" => Some("a worker that dies would lose its tasks"),
                "deliver_policy" => Some("it would leave tasks out"),
                _ => None,
            },
        }
    }
}

/// A value for people: durations with units.
fn shown(field: &str, value: &Value) -> String {
    match (field, value.as_i64()) {
        ("max_age" | "duplicate_window" | "ack_wait", Some(nanoseconds)) if nanoseconds > 0 => {
            format!("{:#}", SignedDuration::from_nanos(nanoseconds))
        }
        ("max_age", _) => "unlimited".into(),
        _ => value.to_string(),
    }
}

/// The server leaves out what is false, zero or empty.
fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Equal in meaning: the order of subjects has none.
fn same(now: &Value, wanted: &Value) -> bool {
    let set = |value: &Value| -> Option<BTreeSet<String>> {
        value
            .as_array()
            .map(|values| values.iter().map(Value::to_string).collect())
    };
    now == wanted
        || (is_absent(now) && is_absent(wanted))
        || (set(now).is_some() && set(now) == set(wanted))
}

impl Topology {
    /// What of this topology a server (`found`) has not, or has otherwise.
    pub fn compare(&self, found: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (name, wanted) in &self.streams {
            let item = Item::Stream(name.clone());
            match found.streams.get(name) {
                None => differences.push(Difference::Missing(item)),
                Some(now) => fields(&item, now, wanted, &mut differences),
            }
        }
        for ((stream, name), wanted) in &self.consumers {
            let item = Item::Consumer {
                stream: stream.clone(),
                name: name.clone(),
            };
            match found.consumers.get(&(stream.clone(), name.clone())) {
                None => differences.push(Difference::Missing(item)),
                Some(now) => fields(&item, now, wanted, &mut differences),
            }
        }
        for ((stream, name), config) in &found.consumers {
            if self.streams.get(stream).is_some_and(is_work_queue) {
                let item = Item::Consumer {
                    stream: stream.clone(),
                    name: name.clone(),
                };
                let takes = filters(config)
                    .into_iter()
                    .filter(|taken| holds_back(taken));
                differences.extend(takes.map(|filter| Difference::Taker {
                    item: item.clone(),
                    filter,
                }));
            }
        }
        differences
    }
}

fn fields(item: &Item, now: &Config, wanted: &Config, differences: &mut Vec<Difference>) {
    for (field, wanted) in wanted {
        let now = now.get(field).unwrap_or(&Value::Null);
        if !same(now, wanted) {
            differences.push(Difference::Field {
                item: item.clone(),
                field: field.clone(),
                now: now.clone(),
                wanted: wanted.clone(),
            });
        }
    }
}

/// What a consumer takes: without a filter, everything.
fn filters(config: &Config) -> Vec<String> {
    let one = config
        .get("filter_subject")
        .and_then(Value::as_str)
        .filter(|filter| !filter.is_empty());
    let many = config
        .get("filter_subjects")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let filters: Vec<String> = one.into_iter().chain(many).map(str::to_owned).collect();
    if filters.is_empty() {
        vec![">".into()]
    } else {
        filters
    }
}

fn holds_back(taken: &str) -> bool {
    [
        filter::ARMED,
        filter::WAITING_SUBMITS,
        filter::WAITING_LOOKS,
    ]
    .iter()
    .any(|held| overlap(taken, held))
}

/// Whether some subject matches both patterns.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(left), Some(right)) if left == right || left == "*" || right == "*" => {}
            _ => return false,
        }
    }
}

/// Whether every subject that matches `inner` matches `outer`, too.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(left), Some(right)) if left == right => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Retention;
    use super::*;

    fn declared() -> Topology {
        Topology::declared(Retention::default())
    }

    fn texts(found: &Topology) -> Vec<String> {
        declared()
            .compare(found)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn what_is_declared_does_not_differ_from_itself() {
        assert_eq!(declared().compare(&declared()), []);
    }

    #[test]
    fn defaults_and_additions_of_the_server_are_no_differences() {
        let mut found = declared();
        let config = found.streams.get_mut("KV_racks").unwrap();
        config.remove("deny_purge");
        config.remove("max_age");
        config.insert("metadata".into(), json!({"_nats.ver": "2.14.6"}));
        config.insert("subjects".into(), json!(["$KV.racks.>"]));
        found
            .streams
            .get_mut("RACK")
            .unwrap()
            .insert("subjects".into(), json!(["rack.schedule.>", "rack.tick"]));
        assert_eq!(texts(&found), [""; 0]);
    }

    #[test]
    fn a_difference_names_thing_field_and_both_values() {
        let mut found = declared();
        found.streams.get_mut("EVENTS").unwrap()["max_age"] = json!(7 * 86_400_000_000_000u64);
        found
            .consumers
            .get_mut(&("TASK".into(), "watch".into()))
            .unwrap()["max_deliver"] = json!(5);
        found.streams.remove("KV_cycles");
        assert_eq!(
            texts(&found),
            [
                "stream EVENTS differs in max_age (is 168h, declared 720h): run `racktick setup`",
                "bucket cycles is missing: run `racktick setup`",
                "consumer watch of TASK differs in max_deliver (is 5, declared 20): run `racktick setup`",
            ]
        );
    }

    #[test]
    fn a_stranger_that_takes_what_is_held_back_is_found() {
        let mut found = declared();
        let strangers = [
            json!({"filter_subject": "rack.schedule.r1.*"}),
            json!({}),
            json!({"filter_subjects": ["rack.tick"]}),
        ];
        for (name, config) in ["one", "all", "harmless"].into_iter().zip(strangers) {
            found.consumers.insert(
                ("RACK".into(), name.into()),
                config.as_object().unwrap().clone(),
            );
        }
        let differences = declared().compare(&found);
        assert_eq!(differences.len(), 2, "{differences:?}");
        assert!(
            differences
                .iter()
                .all(|difference| difference.danger().is_some())
        );
    }

    #[test]
    fn no_declared_consumer_takes_what_is_held_back() {
        for ((stream, name), config) in &declared().consumers {
            for taken in filters(config) {
                assert!(!holds_back(&taken), "{name} of {stream} takes {taken}");
                let subjects = declared().streams[stream]["subjects"].clone();
                let subjects = subjects.as_array().unwrap();
                assert!(
                    subjects
                        .iter()
                        .any(|subject| covers(subject.as_str().unwrap(), &taken)),
                    "{taken} of {stream}"
                );
            }
        }
    }

    #[test]
    fn patterns_overlap_when_one_subject_matches_both() {
        for (one, other) in [(">", "a"), ("a.*", "a.b"), ("a.>", "a.b.c"), ("*.b", "a.*")] {
            assert!(overlap(one, other) && overlap(other, one), "{one} {other}");
        }
        for (one, other) in [("a", "b"), ("a.*", "a"), ("a.>", "a"), ("a.b", "a.b.c")] {
            assert!(
                !overlap(one, other) && !overlap(other, one),
                "{one} {other}"
            );
        }
        assert!(covers("a.>", "a.*.c") && covers("a.*", "a.b") && covers("a.*", "a.*"));
        assert!(!covers("a.*", "a.>") && !covers("a.b", "a.*") && !covers("a.>", "a"));
    }
}
