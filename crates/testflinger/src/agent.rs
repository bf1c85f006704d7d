use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rest::{Http, List};
use serde::{Deserialize, Serialize};

use crate::date;

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
pub(crate) struct Written {
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
    pub(crate) fn agent(self, http: &Http) -> Result<Agent, rest::Error> {
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
