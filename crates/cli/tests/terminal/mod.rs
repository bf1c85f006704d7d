//! What an operator sees in a terminal of a lab with machines that fail, that are left alone, and that are at work.

mod ids;
mod status;
mod watch;
mod why;

use lab::LabConfig;

use crate::world::World;

/// A world where every deployment fails, and one machine of each rack is left alone.
async fn failing() -> World {
    let config = LabConfig {
        fail_rate: 1.0,
        odd: 1,
        ..LabConfig::default()
    };
    World::new(config).await
}
