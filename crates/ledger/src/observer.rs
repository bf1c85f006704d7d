use std::time::Duration;

use model::event::Event;

/// Sees what becomes known. It must be quick and never wait.
pub trait Observer: Send + Sync {
    /// An event was stored. A repeat within the hour in which the broker recognises it is not told again.
    fn told(&self, event: &Event);

    /// A job came to Testflinger this long after its machine's decision, the time included over which the submits of a
    /// cycle are spread.
    fn submitted(&self, after: Duration);

    /// A job is in that state of Testflinger's no more. How long it was is known as well as looks are frequent.
    fn left(&self, state: &str, after: Duration);
}
