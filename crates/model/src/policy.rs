//! What a rack's owner decides: which machines may be deployed, with what, at which pace.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

macro_rules! policy {
    ($($(#[doc = $doc:literal])+ $(#[serde($with:ident = $path:literal, $opt:literal)])? $field:ident: $type:ty = $default:expr;)+) => {
        /// A rack's policy with every value settled.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Policy {
            $($(#[doc = $doc])+ $(#[serde($with = $path)])? pub $field: $type,)+
        }

        impl Default for Policy {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        /// What one rack, or the configuration file, sets differently. A missing value leaves what was there.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct PolicyChange {
            $(
                $(#[doc = $doc])+
                #[serde(skip_serializing_if = "Option::is_none")]
                $(#[serde($with = $opt)])?
                pub $field: Option<$type>,
            )+
        }

        impl Policy {
            /// This policy with the values of `change` in place of its own.
            pub fn with(mut self, change: &PolicyChange) -> Self {
                $(if let Some(value) = &change.$field { self.$field = value.clone(); })+
                self
            }

            /// The names of all values, as they are written in the configuration file.
            pub const FIELDS: &[&str] = &[$(stringify!($field)),+];
        }
    };
}

policy! {
    /// Machines that are never deployed: names, or globs such as `spare-*`.
    exclude: Vec<String> = Vec::new();
    /// Locations whose agents may be used, compared exactly.
    locations: Vec<String> = vec!["TOR3".into()];
    /// MAAS users whose machines may be deployed. Empty: only the user of the MAAS key.
    maas_owners: Vec<String> = Vec::new();
    /// An agent that has not renewed its record for this long is taken for dead. An idle agent renews it once a day.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required", "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    agent_silent_after: Duration = hours(26);
    /// A machine whose provisioning failed more often than this in a row is left alone.
    fail_streak_limit: u32 = 20;
    /// The submits of a cycle leave evenly over this time; at most a quarter of the period; 0 = all at once.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required", "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    spread: Duration = hours(1);
    /// How long after its planned time a submit may still become a job.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required", "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    submit_window: Duration = minutes(30);
    /// How late a slot may still run: at most this, and at most a quarter of the period.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required", "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    catch_up: Duration = hours(1);
    /// From the submit to the first look.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required", "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    first_look: Duration = minutes(5);
    /// From one look to the next.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required", "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    look_every: Duration = minutes(5);
    /// A job that is not over this long after its submit is overdue and gets cancelled.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required", "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    deadline: Duration = hours(4);
    /// The job document, less what racktick adds: queue, id, name and tags.
    job: Value = json!({"provision_data": {"distro": "noble"}, "reserve_data": {"timeout": 120}});
}

const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_replaces_only_what_it_names() {
        let change: PolicyChange =
            serde_json::from_str(r#"{"spread": "10m", "exclude": ["spare-*"]}"#).unwrap();
        let policy = Policy::default().with(&change);
        assert_eq!(policy.spread, minutes(10));
        assert_eq!(policy.exclude, ["spare-*"]);
        assert_eq!(policy.locations, ["TOR3"]);
        assert_eq!(
            serde_json::to_string(&change).unwrap(),
            r#"{"exclude":["spare-*"],"spread":"10m"}"#
        );
    }

    #[test]
    fn an_unknown_value_is_refused_by_name() {
        let error = serde_json::from_str::<PolicyChange>(r#"{"spraed": "10m"}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("spraed"), "{error}");
    }

    #[test]
    fn a_settled_policy_comes_back() {
        let text = serde_json::to_string(&Policy::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<Policy>(&text).unwrap(),
            Policy::default()
        );
    }
}
