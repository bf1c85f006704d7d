//! Whatever the order of the events, and however often each comes, the file holds the same.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use dashboard::history::History;
use proptest::prelude::*;
use support::story::{Size, Teller};
use support::{now, rows, write};

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    // What fails is printed as its seed.
    #[test]
    fn a_muddled_stream_gives_the_same_rows_and_views(seed in any::<u64>()) {
        let mut teller = Teller::new(seed);
        let size = Size { racks: 2, machines: 1 + teller.below(6), cycles: 1 + teller.below(12) };
        let events = teller.story(size);
        let muddled = teller.muddled(&events);
        let at_once = 1 + teller.below(muddled.len());

        let folder = tempfile::tempdir().unwrap();
        let (in_order, muddle) = (folder.path().join("in-order.db"), folder.path().join("muddle.db"));
        let (one, mut writer) = History::open(&in_order).unwrap();
        write(&mut writer, &events, events.len());
        let (other, mut writer) = History::open(&muddle).unwrap();
        write(&mut writer, &muddled, at_once);

        for ((table, expected), (_, found)) in rows(&in_order).into_iter().zip(rows(&muddle)) {
            prop_assert_eq!(expected, found, "table {}", table);
        }
        let fleet = |history: &History| history.read_at(now(), |reading| reading.fleet()).unwrap();
        prop_assert_eq!(fleet(&one).racks, fleet(&other).racks);
        let trends = |history: &History| {
            let from = events[events.len() / 2].time;
            let trends = history.read_at(now(), |reading| reading.trends(from)).unwrap();
            (trends.days, trends.phases, trends.flaky, trends.longest_without_pass)
        };
        prop_assert_eq!(trends(&one), trends(&other));
    }
}
