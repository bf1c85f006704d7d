//! MAAS and Testflinger: reachable, our credentials work, their clocks agree with ours.

use maas::Maas;
use testflinger::Testflinger;

use super::Findings;
use crate::app::App;
use crate::output::chain;

pub(super) async fn maas(app: &App, findings: &mut Findings) -> Option<Maas> {
    let maas = match app.config.maas() {
        Ok(maas) => maas,
        Err(error) => {
            findings.wrong("MAAS", error);
            return None;
        }
    };
    match maas.version().await {
        Ok(version) => {
            findings.ok("MAAS", format!("version {} answers", version.version));
            findings.clock("MAAS", version.clock_offset);
        }
        Err(error) => {
            findings.wrong("MAAS", chain(&error));
            return None;
        }
    }
    match maas.whoami().await {
        Ok(user) => {
            let name = &user.name;
            match user.admin {
                Some(true) => findings.look(
                    "MAAS key",
                    format!("works; it is `{name}`'s, who is an administrator: a user without admin rights is enough"),
                ),
                _ => findings.ok("MAAS key", format!("works; it is `{name}`'s")),
            }
            Some(maas)
        }
        Err(error) => {
            findings.wrong("MAAS key", chain(&error));
            None
        }
    }
}

pub(super) async fn testflinger(app: &App, findings: &mut Findings) -> Option<Testflinger> {
    let testflinger = match app.config.testflinger() {
        Ok(testflinger) => testflinger,
        Err(error) => {
            findings.wrong("Testflinger", error);
            return None;
        }
    };
    match testflinger.version().await {
        Ok(version) => {
            findings.ok("Testflinger", format!("{} answers", version.version));
            findings.clock("Testflinger", version.clock_offset);
        }
        Err(error) => {
            findings.wrong("Testflinger", chain(&error));
            return None;
        }
    }
    match (
        testflinger.allowed_queues().await,
        &app.config.testflinger.credentials,
    ) {
        (Ok(_), None) => findings.ok("Testflinger client", "none: jobs are submitted anonymously"),
        (Ok(queues), Some(_)) => findings.ok(
            "Testflinger client",
            format!("works; it opens {} restricted queues", queues.len()),
        ),
        (Err(error), _) => {
            findings.wrong("Testflinger client", chain(&error));
            return None;
        }
    }
    Some(testflinger)
}
