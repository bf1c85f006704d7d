//! What Linux says of a process.

use std::time::Duration;

use anyhow::Context;

/// Clock ticks per second in `/proc/<pid>/stat`: the same on every Linux, whatever the kernel's own rate.
const TICKS: u32 = 100;

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) now: u64,
    /// The most it ever had.
    pub(crate) peak: u64,
}

/// User and system time of a process with all its threads.
pub(crate) fn cpu(process: u32) -> anyhow::Result<Duration> {
    let text = read(process, "stat")?;
    // The name in brackets may hold anything; the numbers come after the last bracket, beginning with field 3.
    let mut fields = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    let (user, system) = ticks()
        .zip(ticks())
        .context("/proc/<pid>/stat has another form")?;
    Ok(Duration::from_secs((user + system).into()) / TICKS)
}

/// Memory of a process.
pub(crate) fn memory(process: u32) -> anyhow::Result<Memory> {
    let text = read(process, "status")?;
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line
            .trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse()
            .ok()?;
        Some(kib * 1024)
    };
    let (now, peak) = bytes("VmRSS")
        .zip(bytes("VmHWM"))
        .context("/proc/<pid>/status has another form")?;
    Ok(Memory { now, peak })
}

fn read(process: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{process}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_finds_itself() {
        let own = std::process::id();
        let memory = memory(own).unwrap();
        assert!(memory.now > 0 && memory.peak >= memory.now, "{memory:?}");
        assert!(cpu(own).unwrap() < Duration::from_secs(3600));
    }
}
