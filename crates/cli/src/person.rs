//! Who is at work here, for the records that name a person.

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
