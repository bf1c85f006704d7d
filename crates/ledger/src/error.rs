use std::sync::Arc;

use bus::BusError;

/// A step on the records that did not succeed. Whoever wanted it may want it again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The broker. Shared, because one failed write may have been for many.
    #[error(transparent)]
    Broker(Arc<BusError>),
    /// The record changed each time it was about to be written.
    #[error("the record `{key}` is being written by too many at once")]
    Busy {
        /// Its key.
        key: String,
    },
}

impl From<BusError> for LedgerError {
    fn from(error: BusError) -> Self {
        Self::Broker(Arc::new(error))
    }
}
