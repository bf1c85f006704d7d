/// Why the lab could not start, or could not do what a person asked of it.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A setting that makes no sense; start again with another value.
    #[error("{name} = {value}: {hint}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it may be.
        hint: &'static str,
    },
    /// The listening socket is not usable.
    #[error("the listening socket is not usable")]
    Socket(#[source] std::io::Error),
    /// A machine, agent, job or tag by this name is not in the lab.
    #[error("there is no {kind} `{name}` in the lab")]
    Unknown {
        /// Machine, agent, job.
        kind: &'static str,
        /// The name asked for.
        name: String,
    },
    /// A name that is in the lab already.
    #[error("there is a {kind} `{name}` in the lab already")]
    Exists {
        /// Machine, agent.
        kind: &'static str,
        /// The name asked for.
        name: String,
    },
    /// A value in a change that the lab cannot store.
    #[error("{name} `{value}` is not known")]
    Value {
        /// The field.
        name: &'static str,
        /// What was given.
        value: String,
    },
}
