use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rest::{Http, List, Object, Refusal};
use serde::{Deserialize, Serialize};

use crate::client::Testflinger;
use crate::date;
use crate::error::TestflingerError;

/// What racktick needs to know of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its name, by convention the host name of its machine.
    pub name: String,
    /// `waiting`, a phase, `offline`, `maintenance`, ...; missing if it was never posted.
    #[serde(default)]
    pub state: Option<String>,
    /// The queues it said it listens on.
    #[serde(default)]
    pub queues: BTreeSet<String>,
    /// Free text such as `TOR3`.
    #[serde(default)]
    pub location: Option<String>,
    /// The job it is working on.
    #[serde(default)]
    pub job_id: Option<String>,
    /// When its record was last written. An idle agent does it once a day.
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
    /// `pass` or `fail`: how its last provisionings ended.
    #[serde(default)]
    pub provision_streak_type: Option<String>,
    /// How many of them in a row.
    #[serde(default)]
    pub provision_streak_count: Option<i64>,
    /// Its restricted queues, and who may submit to each.
    #[serde(default)]
    pub restricted_to: BTreeMap<String, BTreeSet<String>>,
}

/// An agent as the server writes it.
#[derive(Deserialize)]
struct Written {
    name: Option<String>,
    state: Option<String>,
    queues: Option<List<String>>,
    location: Option<String>,
    job_id: Option<String>,
    #[serde(default, deserialize_with = "date::lenient")]
    updated_at: Option<Timestamp>,
    provision_streak_type: Option<String>,
    provision_streak_count: Option<i64>,
    restricted_to: Option<BTreeMap<String, Option<List<String>>>>,
}

impl Written {
    /// An agent without a name is nobody: such an answer is not to be trusted.
    fn agent(self, http: &Http) -> Result<Agent, rest::Error> {
        // An empty text means the same as none.
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        let set = |list: Option<List<String>>| list.unwrap_or_default().0.into_iter().collect();
        let restricted_to = self.restricted_to.unwrap_or_default();
        Ok(Agent {
            name: text(self.name).ok_or_else(|| http.malformed("an agent has no name"))?,
            state: text(self.state),
            queues: set(self.queues),
            location: text(self.location),
            job_id: text(self.job_id),
            updated_at: self.updated_at,
            provision_streak_type: text(self.provision_streak_type),
            provision_streak_count: self.provision_streak_count,
            restricted_to: restricted_to
                .into_iter()
                .map(|(queue, owners)| (queue, set(owners)))
                .collect(),
        })
    }
}

impl Testflinger {
    /// All agents.
    pub async fn agents(&self) -> Result<Vec<Agent>, TestflingerError> {
        const DOING: &str = "read the agents";
        let answer = self.get(DOING, &["v1", "agents", "data"]).await?;
        let List(written): List<Object<Written>> = self
            .read(DOING, answer, self.http.limits().list_bytes)
            .await?;
        let agents: Result<Vec<Agent>, rest::Error> = written
            .into_iter()
            .map(|Object(written)| written.agent(&self.http))
            .collect();
        agents.map_err(|error| self.error(DOING, error))
    }

    /// One agent; none if the server does not know it.
    pub async fn agent(&self, name: &str) -> Result<Option<Agent>, TestflingerError> {
        const DOING: &str = "read the agent";
        if matches!(name, "" | "." | "..") {
            // No path can hold such a name: it would ask for something else.
            return Ok(None);
        }
        let answer = self.get(DOING, &["v1", "agents", "data", name]).await?;
        if answer.status() == 404 {
            let error = answer.refused().await;
            // Any other 404 is about the address, not about the agent.
            let unknown = error
                .refusal()
                .and_then(Refusal::json)
                .is_some_and(|body| body == serde_json::json!({}));
            return if unknown {
                Ok(None)
            } else {
                Err(self.error(DOING, error))
            };
        }
        let Object(written): Object<Written> = self
            .read(DOING, answer, self.http.limits().body_bytes)
            .await?;
        let agent = written
            .agent(&self.http)
            .map_err(|error| self.error(DOING, error))?;
        if agent.name != name {
            let why = format!("it is about agent `{}`, not about `{name}`", agent.name);
            return Err(self.error(DOING, self.http.malformed(&why)));
        }
        Ok(Some(agent))
    }
}
