use rest::{Http, Object};
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

/// A machine as MAAS writes it.
#[derive(Deserialize)]
pub(crate) struct Written {
    hostname: Option<String>,
    system_id: Option<String>,
    status: Option<i64>,
    status_name: Option<String>,
    owner: Option<String>,
    locked: Option<bool>,
    power_state: Option<String>,
    pool: Option<Object<Named>>,
    zone: Option<Object<Named>>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

impl Written {
    /// Without its name a machine cannot be anybody's: such a list is not to be trusted.
    pub(crate) fn machine(self, http: &Http) -> Result<Machine, rest::Error> {
        let system_id = self.system_id.unwrap_or_default();
        let Some(hostname) = self.hostname.filter(|name| !name.is_empty()) else {
            return Err(http.malformed(&format!("machine `{system_id}` has no host name")));
        };
        let given = self.status_name.filter(|name| !name.is_empty());
        let status_name = given.unwrap_or_else(|| match self.status {
            Some(status) => format!("status {status}"),
            None => "no status".to_owned(),
        });
        let name = |named: Option<Object<Named>>| named.and_then(|Object(named)| named.name);
        Ok(Machine {
            hostname,
            system_id,
            status: self.status,
            status_name,
            owner: self.owner.filter(|owner| !owner.is_empty()),
            locked: self.locked.unwrap_or(false),
            power_state: self.power_state,
            pool: name(self.pool),
            zone: name(self.zone),
        })
    }
}
