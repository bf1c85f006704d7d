//! Cycles that were not read yet. A bucket holds those of 35 days, and whoever wants to know what goes on, or how it
//! went last, needs a few of them.

use std::collections::{BTreeMap, VecDeque};

use bus::{BusError, Head};
use jiff::Timestamp;
use model::id::CycleId;
use model::name::RackName;
use model::subject::key;

use crate::Ledger;

/// The keys of cycles that were not read yet, to be taken by what is wanted.
#[derive(Debug, Default)]
pub struct Unread {
    /// Of each rack those that were written last first.
    racks: BTreeMap<RackName, VecDeque<Head>>,
    /// Keys that no cycle has. Nobody knows what is under them.
    foreign: Vec<String>,
}

impl Unread {
    /// All cycles whose key matches the filter (`>` for all).
    ///
    /// # Errors
    /// When the broker cannot be asked.
    pub async fn list(ledger: &Ledger, filter: &str) -> Result<Self, BusError> {
        Ok(Self::of(ledger.cycles().heads(filter).await?))
    }

    fn of(latest_first: Vec<Head>) -> Self {
        let mut unread = Self::default();
        for head in latest_first {
            match key::parse_cycle(&head.key) {
                Some((rack, _)) => unread.racks.entry(rack).or_default().push_back(head),
                None => unread.foreign.push(head.key),
            }
        }
        unread
    }

    /// Takes all that may have machines without an outcome.
    pub fn take_open(&mut self) -> Vec<String> {
        let mut keys = std::mem::take(&mut self.foreign);
        for heads in self.racks.values_mut() {
            let (over, open): (VecDeque<Head>, _) = heads.drain(..).partition(|head| head.is_over);
            *heads = over;
            keys.extend(open.into_iter().map(|head| head.key));
        }
        keys
    }

    /// Takes of each rack the `most` that were written last, if the last of them is wanted: whoever knows that one of
    /// that time cannot matter any more, knows it of those before, too.
    pub fn take_latest(
        &mut self,
        most: usize,
        is_wanted: impl Fn(&RackName, Timestamp) -> bool,
    ) -> Vec<String> {
        let mut keys = Vec::new();
        for (rack, heads) in &mut self.racks {
            if heads.front().is_some_and(|head| is_wanted(rack, head.at)) {
                let taken = heads.drain(..most.min(heads.len()));
                keys.extend(taken.map(|head| head.key));
            }
        }
        keys
    }

    /// Takes one cycle, if it is there.
    pub fn take(&mut self, cycle: CycleId) -> Option<String> {
        self.racks.iter_mut().find_map(|(rack, heads)| {
            let key = key::cycle(rack, cycle);
            let position = heads.iter().position(|head| head.key == key)?;
            heads.remove(position).map(|head| head.key)
        })
    }

    /// Takes all that are left.
    pub fn take_all(&mut self) -> Vec<String> {
        let heads = std::mem::take(&mut self.racks).into_values().flatten();
        let mut keys = std::mem::take(&mut self.foreign);
        keys.extend(heads.map(|head| head.key));
        keys
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn rack(number: usize) -> RackName {
        RackName::new(format!("r{number}")).unwrap()
    }

    fn cycle(rack: &RackName, second: i64) -> CycleId {
        CycleId::of_slot(rack, Timestamp::from_second(second).unwrap())
    }

    /// Two racks of five cycles each, of which every other is over, and one key that no cycle has.
    fn unread() -> Unread {
        let mut heads: Vec<Head> = (0..10)
            .map(|second| {
                let rack = rack(usize::try_from(second).unwrap() % 2);
                Head {
                    key: key::cycle(&rack, cycle(&rack, second)),
                    at: Timestamp::from_second(second).unwrap(),
                    is_over: second / 2 % 2 == 1,
                }
            })
            .rev()
            .collect();
        let foreign = Head {
            key: "r1.x".into(),
            ..heads[0].clone()
        };
        heads.insert(3, foreign);
        Unread::of(heads)
    }

    fn keys(of: usize, seconds: impl IntoIterator<Item = i64>) -> Vec<String> {
        let rack = rack(of);
        let seconds = seconds.into_iter();
        seconds
            .map(|second| key::cycle(&rack, cycle(&rack, second)))
            .collect()
    }

    #[test]
    fn what_is_not_known_to_be_over_is_open_and_is_taken_once() {
        let mut unread = unread();
        let open = unread.take_open();
        let wanted = [
            vec!["r1.x".to_owned()],
            keys(0, [8, 4, 0]),
            keys(1, [9, 5, 1]),
        ];
        assert_eq!(open, wanted.concat());
        assert!(unread.take_open().is_empty());
        let rest = [keys(0, [6, 2]), keys(1, [7, 3])].concat();
        assert_eq!(unread.take_all(), rest);
        assert!(unread.take_all().is_empty());
    }

    #[test]
    fn the_latest_are_taken_of_the_racks_that_want_more() {
        let mut unread = unread();
        let both = unread.take_latest(2, |_, _| true);
        assert_eq!(both, [keys(0, [8, 6]), keys(1, [9, 7])].concat());
        let five = Timestamp::from_second(5).unwrap();
        let later = unread.take_latest(9, |_, at| at >= five);
        assert_eq!(later, keys(1, [5, 3, 1]));
        assert_eq!(
            unread.take_latest(9, |rack, _| *rack == self::rack(0)),
            keys(0, [4, 2, 0])
        );
        assert_eq!(unread.take_all(), ["r1.x"]);
    }

    #[test]
    fn one_is_taken_by_its_id() {
        let mut unread = unread();
        let one = cycle(&rack(1), 3);
        assert_eq!(unread.take(one), Some(keys(1, [3]).remove(0)));
        assert_eq!(unread.take(one), None);
        assert_eq!(unread.take(cycle(&rack(1), 4)), None);
        assert_eq!(
            unread.take_latest(9, |rack, _| *rack == self::rack(1)),
            keys(1, [9, 7, 5, 1])
        );
    }
}
