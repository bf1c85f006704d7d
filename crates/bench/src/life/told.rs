//! A long life as text.

use std::fmt::Write as _;

use model::subject::stream;

use super::Life;

const MEGABYTE: f64 = 1_000_000.0;
/// Streams and buckets that have a column.
const SHOWN: [&str; 5] = [
    stream::EVENTS,
    "KV_cycles",
    "KV_machines",
    stream::TASK,
    stream::DLQ,
];

/// The days, and what became of each thing.
pub(crate) fn text(life: &Life) -> String {
    let mut text = format!(
        "\n{} racks of {} machines, {} looks a job, a tick of each rack every 6 hours, speed {}\n\
         cycles kept for {} days; {} days until everything turned over, then {} days that count\n\
         {} jobs of {}, {} ticks lost\n\n",
        life.shape.racks,
        life.shape.machines,
        life.shape.looks,
        life.speed,
        life.kept_days,
        life.filled_days,
        life.days,
        life.jobs,
        life.jobs_due,
        life.lost_ticks,
    );
    let _ = write!(
        text,
        "{:>5}{:>10}{:>10}{:>10}{:>11}",
        "day", "disk MB", "broker MB", "worker MB", "sched. MB"
    );
    for stream in SHOWN {
        let _ = write!(text, "{stream:>13}");
    }
    text.push('\n');
    for sample in &life.samples {
        let _ = write!(text, "{:>5}", sample.day);
        for (bytes, width) in [
            (sample.disk, 10),
            (sample.broker, 10),
            (sample.worker, 10),
            (sample.scheduler, 11),
        ] {
            let _ = write!(text, "{:>width$.1}", bytes as f64 / MEGABYTE);
        }
        for stream in SHOWN {
            let _ = write!(text, "{:>13}", sample.messages(stream));
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "\n{:<24}{:>14}{:>14}",
        "median of a third", "first", "last"
    );
    for measured in &life.measured {
        let trend = measured.trend;
        let _ = writeln!(
            text,
            "{:<24}{:>14.0}{:>14.0}   {}",
            measured.what,
            trend.early,
            trend.late,
            if trend.flat { "flat" } else { "NOT flat" },
        );
    }
    for wrong in &life.wrong {
        let _ = writeln!(text, "WRONG: {wrong}");
    }
    text
}
