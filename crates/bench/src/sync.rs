//! How soon the broker brings what it stores to the disk: the policies that the figures are kept apart by.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A policy, in the words of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum SyncPolicy {
    /// The server's own default: every two minutes.
    Default,
    /// `sync_interval: 100ms`.
    #[serde(rename = "sync_100ms")]
    #[value(name = "sync_100ms")]
    Sync100ms,
    /// `sync_interval: always`.
    SyncAlways,
    /// Three servers with three replicas of everything, each with the server's default.
    Cluster,
}

impl SyncPolicy {
    pub(crate) const ALL: [Self; 4] = [
        Self::Default,
        Self::Sync100ms,
        Self::SyncAlways,
        Self::Cluster,
    ];

    /// Its key in the table.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Sync100ms => "sync_100ms",
            Self::SyncAlways => "sync_always",
            Self::Cluster => "cluster",
        }
    }

    /// The servers' configuration. The limits do not follow from the free space of the disk.
    pub(crate) fn server(self) -> String {
        let interval = match self {
            Self::Default | Self::Cluster => "",
            Self::Sync100ms => ", sync_interval: 100ms",
            Self::SyncAlways => ", sync_interval: always",
        };
        format!("jetstream {{ max_file_store: 10GB, max_memory_store: 256MB{interval} }}\n")
    }
}
