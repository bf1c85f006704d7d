use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use jiff::Timestamp;
use rest::{List, Object, Refusal, Short};
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

/// A list of agents as the server writes it.
type WrittenList = List<Object<Written>>;

/// An agent as the server writes it.
#[derive(Deserialize)]
struct Written {
    name: Option<Short>,
    state: Option<Short>,
    queues: Option<List<Short>>,
    location: Option<Short>,
    job_id: Option<Short>,
    #[serde(default, deserialize_with = "date::lenient")]
    updated_at: Option<Timestamp>,
    provision_streak_type: Option<Short>,
    provision_streak_count: Option<i64>,
    restricted_to: Option<BTreeMap<Short, Option<List<Short>>>>,
}

/// The agents of a list. The error says why the list is of no use.
fn agents(List(written): WrittenList) -> Result<Vec<Agent>, &'static str> {
    written
        .into_iter()
        .map(|Object(written)| written.agent())
        .collect()
}

impl Agent {
    /// Reads a list as the server answers it, without asking the server.
    ///
    /// # Errors
    /// Why the list is of no use; the text may quote it.
    pub fn read_list(answer: impl Read) -> Result<Vec<Self>, String> {
        let written = serde_json::from_reader(answer).map_err(|error| error.to_string())?;
        agents(written).map_err(str::to_owned)
    }
}

impl Written {
    /// An agent without a name is nobody: such an answer is not to be trusted.
    fn agent(self) -> Result<Agent, &'static str> {
        // An empty text means the same as none.
        let text = |text: Option<Short>| text.map(String::from).filter(|text| !text.is_empty());
        let set = |list: Option<List<Short>>| {
            let words = list.unwrap_or_default().0.into_iter();
            words.map(String::from).collect()
        };
        let restricted_to = self.restricted_to.unwrap_or_default();
        Ok(Agent {
            name: text(self.name).ok_or("an agent has no name")?,
            state: text(self.state),
            queues: set(self.queues),
            location: text(self.location),
            job_id: text(self.job_id),
            updated_at: self.updated_at,
            provision_streak_type: text(self.provision_streak_type),
            provision_streak_count: self.provision_streak_count,
            restricted_to: restricted_to
                .into_iter()
                .map(|(queue, owners)| (queue.into(), set(owners)))
                .collect(),
        })
    }
}

impl Testflinger {
    /// All agents.
    pub async fn agents(&self) -> Result<Vec<Agent>, TestflingerError> {
        const DOING: &str = "read the agents";
        let answer = self.get(DOING, "agents", &["v1", "agents", "data"]).await?;
        let written: WrittenList = self
            .read(DOING, answer, self.http.limits().list_bytes)
            .await?;
        agents(written).map_err(|why| self.error(DOING, self.http.malformed(why)))
    }

    /// One agent; none if the server does not know it.
    pub async fn agent(&self, name: &str) -> Result<Option<Agent>, TestflingerError> {
        const DOING: &str = "read the agent";
        if matches!(name, "" | "." | "..") {
            // No path can hold such a name: it would ask for something else.
            return Ok(None);
        }
        let answer = self
            .get(DOING, "agent", &["v1", "agents", "data", name])
            .await?;
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
            .agent()
            .map_err(|why| self.error(DOING, self.http.malformed(why)))?;
        if agent.name != name {
            let why = format!("it is about agent `{}`, not about `{name}`", agent.name);
            return Err(self.error(DOING, self.http.malformed(&why)));
        }
        Ok(Some(agent))
    }
}
