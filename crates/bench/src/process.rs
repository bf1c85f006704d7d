//! What Linux says of a process.

use std::time::Duration;

use anyhow::Context;

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) now: u64,
    /// The most it ever had.
    pub(crate) peak: u64,
}

/// User and system time of a process: of all threads it has now, to the nanosecond. The usual figure counts in
/// hundredths of a second, which a thousand jobs need few of.
pub(crate) fn cpu(process: u32) -> anyhow::Result<Duration> {
    let tasks = format!("/proc/{process}/task");
    let tasks = std::fs::read_dir(&tasks).with_context(|| format!("{tasks} cannot be read"))?;
    let mut nanoseconds = 0;
    for task in tasks {
        // A thread that ended meanwhile has no file any more.
        if let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) {
            let first = text.split_whitespace().next();
            nanoseconds += first
                .and_then(|number| number.parse::<u64>().ok())
                .context("/proc/<pid>/schedstat has another form")?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
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
        assert!(cpu(own).unwrap() > Duration::ZERO);
    }
}
