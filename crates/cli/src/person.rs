//! Who is at work here, for the records that name a person.

use clap::Args;
use model::task::{LONGEST_WORDS, too_long};

/// Why somebody does something.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why, for whoever wonders
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = words)]
    pub(crate) reason: String,
}

/// A reason that no worker refuses.
pub(crate) fn words(text: &str) -> Result<String, String> {
    match too_long(text) {
        None => Ok(text.to_owned()),
        Some(length) => Err(format!(
            "it is {length} bytes long; at most {LONGEST_WORDS} are allowed"
        )),
    }
}

/// `ann@host`, as far as the system says.
pub(crate) fn name() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    format!("{}@{}", user.as_deref().unwrap_or("somebody"), host())
}

/// The host's name.
pub(crate) fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "host".into(),
        host => host.into(),
    }
}
