//! Broker, lab and program of one test.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::time::Duration;

use bus::Bus;
use lab::{Lab, LabConfig};
use testkit::{Broker, until};

use crate::program::{Place, Running};

/// Long enough for a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Broker and lab of one test, and a place that points at both.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) bus: Bus,
    pub(crate) lab: Lab,
    pub(crate) place: Place,
}

impl World {
    /// Two racks of three machines; a minute takes a quarter of a second unless the configuration says otherwise.
    pub(crate) async fn new(config: LabConfig) -> Self {
        let broker = Broker::start().await;
        let bus = broker.bus().await;
        let lab = Lab::start_on_free_port(LabConfig {
            machines: 3,
            speed: if config.speed > 1.0 {
                config.speed
            } else {
                240.0
            },
            ..config
        })
        .await
        .unwrap();
        let mut place = Place::new()
            .env("NATS_URL", broker.url())
            .env("RACKTICK_SETTLE", "60m")
            .env("RACKTICK_LOG", "warn");
        for (name, value) in lab::environment(lab.config(), lab.address()) {
            place = place.env(&name, value);
        }
        for limit in ["CONNECT", "FIRST_BYTE", "SILENCE", "TOTAL", "LIST_TOTAL"] {
            place = place.env(&format!("RACKTICK_HTTP_{limit}"), "20m");
        }
        Self {
            broker,
            bus,
            lab,
            place,
        }
    }

    pub(crate) async fn env(config: LabConfig, name: &str, value: &str) -> Self {
        let world = Self::new(config).await;
        Self {
            place: world.place.env(name, value),
            ..world
        }
    }

    pub(crate) fn worker(&self) -> Running {
        self.place.start(&["worker"])
    }

    /// The racks' cycles that are over, as `status` shows them.
    pub(crate) fn last_result(&self, rack: &str) -> String {
        let status = self.place.status(&[]);
        let racks = status["racks"].as_array().unwrap();
        let line = racks.iter().find(|line| line["rack"] == rack);
        line.and_then(|line| line["last"]["result"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    pub(crate) async fn until_finished(&self, rack: &str) -> String {
        until(SOON, "the cycle is finished", async || {
            self.last_result(rack).starts_with("finished")
        })
        .await;
        self.last_result(rack)
    }
}
