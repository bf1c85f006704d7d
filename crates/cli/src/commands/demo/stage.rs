//! How large the demo is, and how fast.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use lab::LabConfig;
use ledger::{Ledger, TickRequest};
use model::name::RackName;
use model::rack::RackRecord;
use model::schedule::Schedule;
use model::subject::key;
use plan::slots::Slots;

use crate::config::Shown;
use crate::{output, person};

/// A rack ticks every so often: long enough for a whole cycle at this speed, short enough to watch two.
const EVERY: Duration = Duration::from_secs(30);

/// A rack whose first slot is further away than this begins with a cycle at once; that one is over by then.
const PATIENCE: SignedDuration = SignedDuration::from_secs(18);

/// Where and how the demo is played.
pub(super) struct Stage {
    folder: PathBuf,
    lab: LabConfig,
}

impl Stage {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            lab: LabConfig {
                racks: 2,
                machines: 8,
                odd: 3,
                fail_rate: 0.2,
                // A deployment of 10 to 20 minutes takes 3 to 5 seconds.
                speed: 240.0,
                seed: Timestamp::now().as_second().unsigned_abs(),
                ..LabConfig::default()
            },
        }
    }

    /// The folder that everything of the demo lies in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn describe(&self) -> String {
        let LabConfig {
            racks,
            machines,
            odd,
            ..
        } = self.lab;
        format!(
            "{racks} racks of {machines} machines, {odd} of them odd; a minute takes {}",
            Shown(self.minute())
        )
    }

    fn minute(&self) -> Duration {
        Duration::from_secs(60).div_f64(self.lab.speed)
    }

    pub(super) fn racks(&self) -> Vec<RackName> {
        (1..=self.lab.racks)
            .map(|number| {
                RackName::new(format!("r{number}")).expect("the lab's racks have plain names")
            })
            .collect()
    }

    /// The flags of the lab.
    pub(super) fn lab_flags(&self, listen: &str) -> Vec<String> {
        [
            ("--listen", listen.to_owned()),
            ("--racks", self.lab.racks.to_string()),
            ("--machines", self.lab.machines.to_string()),
            ("--odd", self.lab.odd.to_string()),
            ("--fail-rate", self.lab.fail_rate.to_string()),
            ("--speed", self.lab.speed.to_string()),
            ("--seed", self.lab.seed.to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    /// The whole environment of a child.
    pub(super) fn environment(&self, nats_url: &str, lab: &str) -> Vec<(String, String)> {
        let authority = lab.trim_start_matches("http://");
        let mut variables = lab::environment(&self.lab, authority);
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
        set("NATS_URL", nats_url.to_owned());
        set("HOME", self.folder.display().to_string());
        // Divided by the speed, like every other wait: 5 seconds, also on a machine that is busy with other things.
        for limit in ["CONNECT", "FIRST_BYTE", "SILENCE", "TOTAL", "LIST_TOTAL"] {
            set(&format!("RACKTICK_HTTP_{limit}"), "20m".into());
        }
        set("RACKTICK_SETTLE", "60m".into());
        set("RACKTICK_LOG_FORMAT", "text".into());
        set("RACKTICK_DASHBOARD_PUBLIC_READ", "true".into());
        variables
    }

    /// Adds the racks, as `racktick rack add` does.
    pub(super) async fn add_racks(&self, ledger: &Ledger) -> anyhow::Result<()> {
        for rack in self.racks() {
            let schedule = Schedule::Every {
                every: EVERY,
                splay: None,
            };
            let now = Timestamp::now();
            let record = RackRecord::new(schedule, now);
            let first = Slots::new(&record.schedule, &rack)?.after(now);
            ledger.racks().create(&key::rack(&rack), &record).await?;
            let wait = first
                .map(|slot| slot.duration_since(now))
                .unwrap_or_default();
            output::say(format!(
                "rack {rack} is added: every {}, first slot in {} s",
                Shown(EVERY),
                wait.as_secs()
            ));
            if wait > PATIENCE {
                let request = TickRequest {
                    reason: Some("first cycle of a new rack".into()),
                    ..TickRequest::of(rack, person::name())
                };
                ledger
                    .tick(&request)
                    .await
                    .context("the tick may not have been stored")?;
            }
        }
        Ok(())
    }
}
