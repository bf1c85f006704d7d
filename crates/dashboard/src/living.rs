//! The roles that are alive: every process of racktick says so when it is asked.

use std::time::Duration;

use bus::service::Alive;
use bus::{Bus, BusError};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// How long answers are waited for. Nobody knows how many there will be.
const WITHIN: Duration = Duration::from_secs(1);

/// A role that was busy for a moment may miss a question; after this long it is gone.
const MISSED: SignedDuration = SignedDuration::from_secs(8);

/// How racktick's services are called, before the role.
const PREFIX: &str = "racktick-";

/// A process that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RoleView {
    /// `worker`, `scheduler` or `dashboard`.
    pub role: String,
    /// Chosen anew by every process.
    pub id: String,
    /// A worker's name, in claims and dead letters.
    pub name: Option<String>,
    /// The host that it runs on.
    pub host: Option<String>,
    /// Its version.
    pub version: String,
    /// When it began.
    pub since: Timestamp,
    /// When it answered last.
    pub heard_at: Timestamp,
}

/// Who is alive, given who was a moment ago; `None` where the broker does not let the dashboard ask.
pub(crate) async fn roles(
    bus: &Bus,
    last: Option<&[RoleView]>,
) -> Result<Option<Vec<RoleView>>, BusError> {
    match bus.services(WITHIN).await {
        Ok(answers) => Ok(Some(merged(
            answers,
            last.unwrap_or_default(),
            Timestamp::now(),
        ))),
        Err(BusError::Denied { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn merged(answers: Vec<Alive>, last: &[RoleView], now: Timestamp) -> Vec<RoleView> {
    let mut roles: Vec<RoleView> = answers
        .into_iter()
        .filter_map(|mut answer| {
            Some(RoleView {
                role: answer.name.strip_prefix(PREFIX)?.to_owned(),
                id: answer.id,
                name: answer.metadata.remove("name"),
                host: answer.metadata.remove("host"),
                version: answer.version,
                since: answer.started,
                heard_at: now,
            })
        })
        .collect();
    let silent = last.iter().filter(|role| {
        let answered = roles.iter().any(|other| other.id == role.id);
        !answered && now.duration_since(role.heard_at) < MISSED
    });
    roles.extend(silent.cloned().collect::<Vec<_>>());
    let order = |role: &RoleView| (role.role.clone(), role.host.clone(), role.name.clone());
    roles.sort_by_cached_key(|role| (order(role), role.id.clone()));
    roles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_gone_when_it_was_silent_for_some_time_and_no_stranger_is_one() {
        let now: Timestamp = "2026-11-28T00:00:00Z".parse().unwrap();
        let alive = |name: &str, id: &str| Alive {
            name: name.into(),
            id: id.into(),
            version: "1.0.0".into(),
            metadata: Default::default(),
            started: now,
        };
        let ids = |roles: &[RoleView]| -> Vec<String> {
            roles.iter().map(|role| role.id.clone()).collect()
        };
        let first = merged(
            vec![
                alive("racktick-worker", "w2"),
                alive("racktick-worker", "w1"),
                alive("weather", "x"),
                alive("racktick-scheduler", "s1"),
            ],
            &[],
            now,
        );
        assert_eq!(ids(&first), ["s1", "w1", "w2"]);
        let later = |seconds| now + SignedDuration::from_secs(seconds);
        let answers = || vec![alive("racktick-worker", "w2")];
        let second = merged(answers(), &first, later(5));
        assert_eq!(ids(&second), ["s1", "w1", "w2"]);
        let third = merged(answers(), &second, later(13));
        assert_eq!(ids(&third), ["w2"]);
    }
}
