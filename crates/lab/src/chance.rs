//! Chance that follows from the seed alone.
//!
//! A draw is a hash of the seed and of what is drawn for (a machine, its n-th job, ...), never the next number of a
//! shared generator. So the same seed gives the same outcomes in whatever order requests arrive.

use sha2::{Digest as _, Sha256};

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LOWER: &[u8] = b"abcdefghkmnpqrstwxy34678";

/// The source of everything that looks random in the lab.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance {
    seed: u64,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    fn digest(self, about: &[&str], round: u32) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(round.to_be_bytes());
        for part in about {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }

    /// A number for `about`.
    pub(crate) fn number(self, about: &[&str]) -> u64 {
        let digest = self.digest(about, 0);
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first)
    }

    /// A fraction in `[0, 1)` for `about`.
    pub(crate) fn fraction(self, about: &[&str]) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (self.number(about) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Letters and digits, as in a MAAS API key.
    pub(crate) fn key(self, about: &[&str], length: usize) -> String {
        self.letters(about, length, ALPHANUMERIC)
    }

    /// Lower-case letters and digits, as in a MAAS system id.
    pub(crate) fn name(self, about: &[&str], length: usize) -> String {
        self.letters(about, length, LOWER)
    }

    fn letters(self, about: &[&str], length: usize, alphabet: &[u8]) -> String {
        (0_u32..)
            .flat_map(|round| self.digest(about, round))
            .take(length)
            .map(|byte| char::from(alphabet[usize::from(byte) % alphabet.len()]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same() {
        let (one, other) = (Chance::new(7), Chance::new(7));
        assert_eq!(one.number(&["a", "1"]), other.number(&["a", "1"]));
        assert_eq!(one.key(&["key"], 32), other.key(&["key"], 32));
        assert_eq!(one.key(&["key"], 32).len(), 32);
    }

    #[test]
    fn another_seed_or_subject_draws_something_else() {
        let one = Chance::new(7);
        assert_ne!(one.number(&["a"]), Chance::new(8).number(&["a"]));
        assert_ne!(one.number(&["ab", "c"]), one.number(&["a", "bc"]));
    }

    #[test]
    fn fractions_spread_over_the_unit() {
        let chance = Chance::new(1);
        let below = (0..1000)
            .filter(|i| chance.fraction(&["f", &i.to_string()]) < 0.25)
            .count();
        assert!((200..300).contains(&below), "{below}");
    }
}
