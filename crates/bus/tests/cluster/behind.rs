//! A copy of a bucket that is behind, and readers that are put on it.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Bucket, Start};
use testkit::{Cluster, until};

use crate::load::Counter;

/// One reader in three is put on the copy that is behind. That none of so many lists' is happens once in ten thousand runs.
const OFTEN: usize = 6;

/// Reads the changes that are stored.
async fn changes(bucket: &Bucket<Counter>, start: Start) -> BTreeMap<String, u64> {
    let mut changes = bucket.changes(start).await.unwrap();
    let mut seen = BTreeMap::new();
    while let Some(change) = changes.next_stored().await.unwrap() {
        seen.insert(change.key, change.entry.unwrap().value.number);
    }
    seen
}

#[tokio::test]
async fn a_list_is_never_read_from_a_copy_that_is_behind() {
    let cluster = Cluster::start_over_lines().await;
    let racks = cluster.bus().await.bucket::<Counter>("racks");
    for key in ["r1", "r2"] {
        racks.create(key, &Counter::of(1)).await.unwrap();
    }
    cluster.until_in_step().await;
    let follower = cluster.follower("KV_racks").await;
    cluster.hold_back(follower, "KV_racks").await;
    let before = racks.heads(">").await.unwrap()[0].at;
    let revision = racks.get("r1").await.unwrap().unwrap().revision;
    racks.update("r1", &Counter::of(2), revision).await.unwrap();
    racks.create("r3", &Counter::of(1)).await.unwrap();

    // It is behind, and readers are put on it: those that ask for keys by name see what it has.
    until(
        Duration::from_secs(60),
        "a reader is put there",
        async || {
            let found = racks.get_many(["r1".into(), "r3".into()]).await.unwrap();
            found["r1"].value.number == 1 && !found.contains_key("r3")
        },
    )
    .await;
    let whole = BTreeMap::from([("r1", 2), ("r2", 1), ("r3", 1)].map(|(k, n)| (k.to_owned(), n)));
    for _ in 0..OFTEN {
        let entries = racks.entries(">").await.unwrap();
        let entries: BTreeMap<String, u64> = entries
            .into_iter()
            .map(|(key, entry)| (key, entry.value.number))
            .collect();
        assert_eq!(entries, whole);
        assert_eq!(changes(&racks, Start::LastOfEach).await, whole);
        let since = changes(&racks, Start::Since(before)).await;
        assert_eq!((since["r1"], since["r3"]), (2, 1));
        let heads = racks.heads(">").await.unwrap();
        assert_eq!(heads[0].key, "r3");
    }
}
