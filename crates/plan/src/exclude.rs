//! The policy's list of machines that are never deployed.

use globset::{Glob, GlobMatcher};

/// Names and globs, ready to be compared with machines.
pub(crate) struct Exclude<'a> {
    patterns: Vec<(&'a str, Option<GlobMatcher>)>,
}

impl<'a> Exclude<'a> {
    /// Each pattern excludes the machine of exactly this name, and, if it is a glob, those that match it. What is no
    /// glob is refused when a policy is checked, see [`crate::policy::check`].
    pub(crate) fn new(patterns: &'a [String]) -> Self {
        let compiled = patterns.iter().map(|pattern| {
            let glob = Glob::new(pattern).ok().map(|glob| glob.compile_matcher());
            (pattern.as_str(), glob)
        });
        Self {
            patterns: compiled.collect(),
        }
    }

    /// The first pattern that excludes the machine.
    pub(crate) fn matching(&self, name: &str) -> Option<&'a str> {
        self.patterns
            .iter()
            .find(|(pattern, glob)| {
                *pattern == name || glob.as_ref().is_some_and(|glob| glob.is_match(name))
            })
            .map(|(pattern, _)| *pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_glob() {
        let patterns = ["spare-*", "node[12]", "node{3,4}", "odd[name"].map(str::to_owned);
        let exclude = Exclude::new(&patterns);
        assert_eq!(exclude.matching("spare-7"), Some("spare-*"));
        assert_eq!(exclude.matching("node2"), Some("node[12]"));
        assert_eq!(exclude.matching("node4"), Some("node{3,4}"));
        assert_eq!(exclude.matching("node[12]"), Some("node[12]"));
        assert_eq!(exclude.matching("odd[name"), Some("odd[name"));
        assert_eq!(exclude.matching("Spare-7"), None);
        assert_eq!(exclude.matching("my-spare-7"), None);
    }
}
