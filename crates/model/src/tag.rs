//! The tags of our jobs in Testflinger: what brings a job back to its rack and cycle when nothing else is left of it.

use crate::id::CycleId;
use crate::name::RackName;

/// The tag of every job that racktick submits.
pub const OURS: &str = "racktick";
const RACK: &str = "racktick-rack:";
const CYCLE: &str = "racktick-cycle:";

/// The tags of a job.
pub fn of(rack: &RackName, cycle: CycleId) -> [String; 3] {
    [
        OURS.to_owned(),
        format!("{RACK}{rack}"),
        format!("{CYCLE}{cycle}"),
    ]
}

/// The rack and the cycle that a job's tags name; `None` when they are not those of [`of`].
pub fn parse<T: AsRef<str>>(tags: &[T]) -> Option<(RackName, CycleId)> {
    let after = |start| tags.iter().find_map(|tag| tag.as_ref().strip_prefix(start));
    let rack = RackName::new(after(RACK)?).ok()?;
    Some((rack, after(CYCLE)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_lead_back_to_rack_and_cycle() {
        let rack = RackName::new("r7").unwrap();
        let cycle: CycleId = "b0d36a39-1ae7-5a22-a3e2-72fbc35a4300".parse().unwrap();
        let tags = of(&rack, cycle);
        // Written down, because jobs of an earlier version bear them.
        assert_eq!(
            tags,
            [
                "racktick",
                "racktick-rack:r7",
                "racktick-cycle:b0d36a39-1ae7-5a22-a3e2-72fbc35a4300"
            ]
        );
        assert_eq!(parse(&tags), Some((rack, cycle)));
        assert_eq!(parse(&tags[..2]), None);
        assert_eq!(parse(&["racktick-rack:r 7", &tags[2]]), None);
        assert_eq!(parse(&[&tags[1], "racktick-cycle:seven"]), None);
    }
}
