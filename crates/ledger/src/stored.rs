//! Records of a bucket, one after the other. One that cannot be read, perhaps because a later racktick wrote it, must
//! not hide the others: whoever stops everything in an emergency stops what can be stopped.

use std::collections::BTreeMap;

use bus::{Bucket, BusError, Start};
use futures_util::StreamExt;
use model::name::RackName;
use model::rack::RackRecord;
use model::record::Record;

use crate::Ledger;

/// A record, or why it cannot be read: always [`BusError::Malformed`].
pub type Read<V> = Result<V, BusError>;

/// Shows every record of a bucket to `see`, with its key, and keeps none. One that is written meanwhile is shown again as
/// it is then.
///
/// # Errors
/// When the broker cannot be asked.
pub async fn each<V: Record>(
    bucket: &Bucket<V>,
    mut see: impl FnMut(&str, Read<V>),
) -> Result<(), BusError> {
    let mut stored = bucket.changes(Start::LastOfEach).await?;
    loop {
        match stored.next_stored().await {
            Ok(None) => return Ok(()),
            Ok(Some(change)) => {
                if let Some(entry) = change.entry {
                    see(&change.key, Ok(entry.value));
                }
            }
            Err(error) => {
                let BusError::Malformed { key, .. } = &error else {
                    return Err(error);
                };
                see(&key.clone(), Err(error));
            }
        }
    }
}

/// Shows the records of some keys to `see`, in any order; those that are not there are left out.
///
/// # Errors
/// When the broker cannot be asked.
pub async fn some<V: Record>(
    bucket: &Bucket<V>,
    keys: impl IntoIterator<Item = String>,
    mut see: impl FnMut(&str, Read<V>),
) -> Result<(), BusError> {
    /// How many are asked for at a time.
    const AT_A_TIME: usize = 32;
    let reads = keys
        .into_iter()
        .map(async |key| (bucket.get(&key).await, key));
    let mut reads = futures_util::stream::iter(reads).buffer_unordered(AT_A_TIME);
    while let Some((read, key)) = reads.next().await {
        match read {
            Ok(Some(entry)) => see(&key, Ok(entry.value)),
            Ok(None) => {}
            Err(error @ BusError::Malformed { .. }) => see(&key, Err(error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// All racks. A key that is no rack's name was not written by racktick.
///
/// # Errors
/// When the broker cannot be asked.
pub async fn racks(ledger: &Ledger) -> Result<BTreeMap<RackName, Read<RackRecord>>, BusError> {
    let mut racks = BTreeMap::new();
    each(ledger.racks(), |key, record| {
        if let Ok(rack) = RackName::new(key) {
            racks.insert(rack, record);
        }
    })
    .await?;
    Ok(racks)
}
