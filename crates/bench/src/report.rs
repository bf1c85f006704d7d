//! The figures for people, each bar beside its figure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::figures::{Cycles, Figures, Idle, Pair, Run, Spread, Waiting};

/// Memory of a worker with 10,000 jobs waiting, in MB.
const MEMORY_BAR: f64 = 64.0;
/// CPU of an idle system, in per cent of a core.
const IDLE_BAR: f64 = 1.0;

const MEGABYTE: f64 = 1_000_000.0;

/// Says what is being done, beside the figures.
pub(crate) fn progress(what: &str) {
    eprintln!("bench: {what}");
}

/// Prints everything.
pub(crate) fn print(figures: &Figures) {
    println!("{}", text(figures));
}

fn text(figures: &Figures) -> String {
    let mut text = String::new();
    for cycles in &figures.cycles {
        cycles_text(&mut text, cycles);
    }
    if let Some(waiting) = &figures.waiting {
        waiting_text(&mut text, waiting);
    }
    if let Some(idle) = &figures.idle {
        idle_text(&mut text, idle);
    }
    let wrong = figures.wrong();
    text.push('\n');
    text + &exactly_once(&wrong.iter().collect::<Vec<_>>())
}

/// Says whether everything was done exactly once, and what was not.
pub(crate) fn exactly_once(wrong: &[&String]) -> String {
    if wrong.is_empty() {
        return "Every machine got exactly one job in every run.".into();
    }
    let mut text = format!("NOT exactly once, {} findings:", wrong.len());
    for finding in wrong.iter().take(20) {
        let _ = write!(text, "\n  {finding}");
    }
    text
}

fn cycles_text(text: &mut String, cycles: &Cycles) {
    let shape = cycles.shape;
    let _ = writeln!(
        text,
        "\n{} x {} machines, {} looks, {} pairs                min    median       max",
        shape.racks,
        shape.machines,
        shape.looks,
        cycles.pairs.len()
    );
    let mut line = |name: &str, figure: &dyn Fn(&Pair) -> f64| {
        let spread = cycles.of_each(figure);
        let _ = writeln!(text, "  {name:<36}{}", columns(spread));
    };
    line("loop, POST/s", &|pair| pair.plain.submits_per_second());
    line("racktick, POST/s", &|pair| {
        pair.racktick.submits_per_second()
    });
    line("dispatch, share of the loop", &|pair| {
        pair.racktick.submits_per_second() / pair.plain.submits_per_second()
    });
    line("loop, jobs/s", &|pair| pair.plain.jobs_per_second());
    line("racktick, jobs/s", &|pair| pair.racktick.jobs_per_second());
    line("completion, share of the loop", &|pair| {
        pair.racktick.jobs_per_second() / pair.plain.jobs_per_second()
    });
    let per_job = |seconds: f64, run: &Run| seconds * 1000.0 / run.jobs as f64;
    line("loop, CPU ms/job", &|pair| pair.plain.cpu_per_job());
    line("worker, CPU ms/job", &|pair| {
        per_job(pair.racktick.own_cpu, &pair.racktick)
    });
    line("broker, CPU ms/job", &|pair| {
        per_job(pair.racktick.broker_cpu, &pair.racktick)
    });
    line("worker + broker, times the loop", &|pair| {
        pair.racktick.cpu_per_job() / pair.plain.cpu_per_job()
    });
    line("lab beside the loop, CPU ms/job", &|pair| {
        per_job(pair.plain.lab_cpu, &pair.plain)
    });
    line("lab beside racktick, CPU ms/job", &|pair| {
        per_job(pair.racktick.lab_cpu, &pair.racktick)
    });
    let last = |run: fn(&Pair) -> &Run| cycles.pairs.last().map(run);
    for (name, run) in [
        ("loop", last(|pair| &pair.plain)),
        ("racktick", last(|pair| &pair.racktick)),
    ] {
        if let Some(run) = run {
            let _ = writeln!(text, "  HTTP requests of the last {name} run");
            requests_text(text, &run.requests, run.jobs);
        }
    }
}

fn requests_text(text: &mut String, requests: &BTreeMap<String, u64>, jobs: usize) {
    for (endpoint, count) in requests {
        let per_job = *count as f64 / jobs as f64;
        let _ = writeln!(text, "    {endpoint:<40}{count:>9}{per_job:>10.3} per job");
    }
}

fn waiting_text(text: &mut String, waiting: &Waiting) {
    let (now, peak) = (
        waiting.worker_now as f64 / MEGABYTE,
        waiting.worker_peak as f64 / MEGABYTE,
    );
    let _ = writeln!(
        text,
        "\nMemory with {} jobs waiting: worker {now:.1} MB now, {peak:.1} MB at most   bar {MEMORY_BAR}: {}\n  broker {:.1} MB now",
        waiting.shape.jobs(),
        met(peak < MEMORY_BAR),
        waiting.broker_now as f64 / MEGABYTE,
    );
}

fn idle_text(text: &mut String, idle: &Idle) {
    let share = |seconds: f64| seconds * 100.0 / idle.watched.as_secs_f64();
    let _ = writeln!(
        text,
        "\nIdle with {} racks for {:.0} s, per cent of a core: worker {:.2}, scheduler {:.2}, broker {:.2}, together {:.2}   bar {IDLE_BAR}: {}\n  {} requests to the lab meanwhile",
        idle.racks,
        idle.watched.as_secs_f64(),
        share(idle.worker),
        share(idle.scheduler),
        share(idle.broker),
        idle.share(),
        met(idle.share() < IDLE_BAR),
        idle.requests,
    );
}

fn columns(spread: Spread) -> String {
    let number = |value: f64| {
        if value >= 100.0 {
            format!("{value:>10.0}")
        } else {
            format!("{value:>10.3}")
        }
    };
    [spread.min, spread.median, spread.max].map(number).concat()
}

fn met(met: bool) -> &'static str {
    if met { "met" } else { "NOT met" }
}
