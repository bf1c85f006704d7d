//! What a process costs, as the system counts it. A process is a number, or `self`.

use std::time::Duration;

/// How long a process has had a processor: on a machine with other work, this says more than the clock.
pub(crate) fn processor(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The fields after the name, which is in parentheses: user and system time are the 12th and 13th, in 1/100 s.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// What a process has in memory now, and had at most.
pub(crate) fn memory(process: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.map_or("unknown", |line| line[name.len()..].trim())
            .to_owned()
    };
    format!("{} now, {} at most", line("VmRSS:"), line("VmHWM:"))
}
