use std::io::Read;

use rest::{List, Object, Short, is_hidden};
use serde::{Deserialize, Serialize};

/// What racktick needs to know of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The short host name, which is also the name of the machine's Testflinger agent.
    pub hostname: String,
    /// MAAS's own id. Empty if MAAS did not say.
    pub system_id: String,
    /// The number of its status. Newer versions of MAAS can have more than we know.
    #[serde(default)]
    pub status: Option<i64>,
    /// The name of its status, for people. Never empty.
    pub status_name: String,
    /// Who has it; nobody when it is free.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether MAAS refuses to change it.
    #[serde(default)]
    pub locked: bool,
    /// `on`, `off`, `unknown` or `error`, as MAAS last saw it.
    #[serde(default)]
    pub power_state: Option<String>,
    /// Its resource pool.
    #[serde(default)]
    pub pool: Option<String>,
    /// Its zone.
    #[serde(default)]
    pub zone: Option<String>,
}

/// A list of machines as MAAS writes it.
pub(crate) type WrittenList = List<Object<Written>>;

/// A machine as MAAS writes it.
#[derive(Deserialize)]
pub(crate) struct Written {
    hostname: Option<String>,
    system_id: Option<Short>,
    status: Option<i64>,
    status_name: Option<Short>,
    owner: Option<Short>,
    locked: Option<bool>,
    power_state: Option<Short>,
    pool: Option<Object<Named>>,
    zone: Option<Object<Named>>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<Short>,
}

/// The machines of a list. The error says why the list is of no use.
pub(crate) fn machines(List(written): WrittenList) -> Result<Vec<Machine>, String> {
    written
        .into_iter()
        .map(|Object(written)| written.machine())
        .collect()
}

impl Machine {
    /// Reads a list as MAAS answers it, without asking MAAS.
    ///
    /// # Errors
    /// Why the list is of no use; the text may quote it.
    pub fn read_list(answer: impl Read) -> Result<Vec<Self>, String> {
        machines(serde_json::from_reader(answer).map_err(|error| error.to_string())?)
    }
}

impl Written {
    /// Without its name a machine cannot be anybody's: such a list is not to be trusted.
    fn machine(self) -> Result<Machine, String> {
        let text = |text: Option<Short>| text.map(String::from).filter(|text| !text.is_empty());
        let system_id = text(self.system_id).unwrap_or_default();
        let Some(hostname) = self.hostname.filter(|name| !name.is_empty()) else {
            return Err(format!("machine `{system_id}` has no host name"));
        };
        // Nothing can be asked or done under a name that is not whole, and two such names could be the same.
        if is_hidden(&hostname) {
            return Err(format!(
                "the host name of machine `{system_id}`, `{hostname}`, holds a part of our API key"
            ));
        }
        let status_name = text(self.status_name).unwrap_or_else(|| match self.status {
            Some(status) => format!("status {status}"),
            None => "no status".to_owned(),
        });
        let name =
            |named: Option<Object<Named>>| named.and_then(|Object(named)| named.name?.0.into());
        Ok(Machine {
            hostname,
            system_id,
            status: self.status,
            status_name,
            owner: text(self.owner),
            locked: self.locked.unwrap_or(false),
            power_state: self.power_state.map(String::from),
            pool: name(self.pool),
            zone: name(self.zone),
        })
    }
}
