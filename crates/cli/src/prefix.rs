//! Ids by their beginnings: nobody types 36 characters.

use std::fmt::Display;
use std::str::FromStr;

/// How many ids are listed when a beginning fits several.
const LISTED: usize = 10;

/// The beginning of an id, or all of it, in lower case and without dashes.
#[derive(Debug, Clone)]
pub(crate) struct Prefix {
    written: String,
    digits: String,
}

/// A text that no id begins with.
#[derive(Debug, thiserror::Error)]
#[error("no id begins like that: write hexadecimal digits, such as `2d75e86d`")]
pub(crate) struct NoPrefix;

impl FromStr for Prefix {
    type Err = NoPrefix;

    fn from_str(written: &str) -> Result<Self, NoPrefix> {
        let digits = written.replace('-', "").to_lowercase();
        let is_hexadecimal = digits.chars().all(|digit| digit.is_ascii_hexdigit());
        if !is_hexadecimal || !(1..=32).contains(&digits.len()) {
            return Err(NoPrefix);
        }
        Ok(Self {
            written: written.to_owned(),
            digits,
        })
    }
}

impl Prefix {
    /// Whether an id begins so.
    pub(crate) fn fits(&self, id: &impl Display) -> bool {
        id.to_string().replace('-', "").starts_with(&self.digits)
    }

    /// The one among those found that fit. Each has words that tell it from the others; `kind` is what they are, and
    /// `advice` is what to do when there is none.
    pub(crate) fn one<T: Display>(
        &self,
        kind: &str,
        mut found: Vec<(T, String)>,
        advice: &str,
    ) -> anyhow::Result<T> {
        let written = &self.written;
        match (found.len(), found.pop()) {
            (1, Some((one, _))) => Ok(one),
            (_, None) => anyhow::bail!("there is no {kind} `{written}`: {advice}"),
            (count, Some(last)) => {
                found.push(last);
                let mut text = format!("{count} {kind}s begin with `{written}`: write more of it");
                for (id, words) in found.iter().take(LISTED) {
                    text.push_str(&format!("\n  {id} {words}"));
                }
                if count > LISTED {
                    text.push_str(&format!("\n  and {} more", count - LISTED));
                }
                anyhow::bail!(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_by_any_beginning_of_it() {
        let id = "2d75e86d-027d-5442-8026-2f7bb8b7f5ef";
        for text in ["2", "2D75", "2d75e86d-", "2d75e86d027d", id] {
            assert!(text.parse::<Prefix>().unwrap().fits(&id), "{text}");
        }
        assert!(!"2e".parse::<Prefix>().unwrap().fits(&id));
        for text in ["", "-", "r1", "2d 75", &format!("{id}0")] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn several_are_listed_and_none_says_what_to_do() {
        let prefix: Prefix = "a".parse().unwrap();
        let found = |count: usize| {
            (0..count)
                .map(|number| (format!("a{number}"), format!("of r{number}")))
                .collect::<Vec<_>>()
        };
        let one = |count| prefix.one("cycle", found(count), "look there");
        assert_eq!(one(1).unwrap(), "a0");
        assert_eq!(
            one(0).unwrap_err().to_string(),
            "there is no cycle `a`: look there"
        );
        let several = one(12).unwrap_err().to_string();
        assert!(several.starts_with("12 cycles begin with `a`: write more of it\n  a0 of r0\n"));
        assert!(several.ends_with("\n  and 2 more"), "{several}");
    }
}
