//! What everything holds at the end of a day.

use std::collections::BTreeMap;

use serde::Serialize;

use super::flat::Trend;
use crate::brokers::Held;
use crate::child::Child;
use crate::process::memory;
use crate::stage::Stage;

const MEGABYTE: f64 = 1_000_000.0;
/// A block of one stream's file, which is freed as a whole.
const BLOCK: f64 = 8.0 * MEGABYTE;
/// What a collector or an allocator may keep or give back for reasons of its own.
const ARENA: f64 = 8.0 * MEGABYTE;
/// Messages on their way in an instant.
const UNDER_WAY: f64 = 500.0;

/// One day's end. Bytes, where nothing else is said.
#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) day: u32,
    /// Of the broker's folder, as the file system counts.
    pub(crate) disk: u64,
    pub(crate) broker: u64,
    pub(crate) worker: u64,
    pub(crate) scheduler: u64,
    pub(crate) streams: BTreeMap<String, Held>,
}

impl Sample {
    pub(crate) async fn take(day: u32, stage: &Stage, scheduler: &Child) -> anyhow::Result<Self> {
        Ok(Self {
            day,
            disk: stage.brokers.disk()?,
            broker: stage.brokers.memory()?,
            worker: stage.worker_memory()?.0,
            scheduler: memory(scheduler.id()?)?.now,
            streams: stage.brokers.held().await?,
        })
    }

    pub(crate) fn messages(&self, stream: &str) -> u64 {
        self.streams.get(stream).map_or(0, |held| held.messages)
    }

    fn all_messages(&self) -> f64 {
        let messages = self.streams.values().map(|held| held.messages);
        messages.sum::<u64>() as f64
    }

    fn all_bytes(&self) -> f64 {
        let bytes = self.streams.values().map(|held| held.bytes);
        bytes.sum::<u64>() as f64
    }

    /// For whoever waits.
    pub(crate) fn line(&self) -> String {
        format!(
            "day {}: disk {:.0} MB, broker {:.0} MB, worker {:.0} MB, scheduler {:.0} MB, {} messages",
            self.day,
            self.disk as f64 / MEGABYTE,
            self.broker as f64 / MEGABYTE,
            self.worker as f64 / MEGABYTE,
            self.scheduler as f64 / MEGABYTE,
            self.all_messages(),
        )
    }
}

/// One thing over the days that count.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) what: &'static str,
    #[serde(flatten)]
    pub(crate) trend: Trend,
}

impl Measured {
    /// Everything that has to be flat; nothing for fewer than three days.
    pub(crate) fn all(samples: &[Sample]) -> Vec<Self> {
        type Figure = fn(&Sample) -> f64;
        let figures: [(&'static str, f64, Figure); 6] = [
            ("disk_bytes", BLOCK, |sample| sample.disk as f64),
            ("stored_bytes", BLOCK, Sample::all_bytes),
            ("stored_messages", UNDER_WAY, Sample::all_messages),
            ("broker_memory_bytes", ARENA, |sample| sample.broker as f64),
            ("worker_memory_bytes", ARENA, |sample| sample.worker as f64),
            ("scheduler_memory_bytes", ARENA, |sample| {
                sample.scheduler as f64
            }),
        ];
        let measured = figures.into_iter().filter_map(|(what, slack, figure)| {
            let values: Vec<f64> = samples.iter().map(figure).collect();
            let trend = Trend::of(&values, slack)?;
            Some(Self { what, trend })
        });
        measured.collect()
    }
}
