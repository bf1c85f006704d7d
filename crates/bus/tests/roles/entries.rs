//! What `nats/roles.conf` lists for each role, entry by entry.

use bus::access::ROLES_CONF;

use crate::probe::Who;

/// What an entry permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Publish,
    Subscribe,
}

/// The subjects that a role may use, as the file has them.
pub(crate) fn allowed(who: Who, act: Act) -> Vec<&'static str> {
    let name = match who {
        Who::Role(role) => role.name().to_uppercase(),
        Who::NoKey => "LOCAL".into(),
    };
    let begin = format!("ROLE_{name} = {{");
    let lines = ROLES_CONF.lines().map(str::trim_start);
    let block = lines
        .skip_while(|line| *line != begin)
        .take_while(|line| *line != "}")
        .filter(|line| !line.starts_with('#'));
    let (mut now, mut allow) = (None, false);
    let mut found = Vec::new();
    for line in block {
        for (word, act) in [("publish: ", Act::Publish), ("subscribe: ", Act::Subscribe)] {
            if line.starts_with(word) {
                now = Some(act);
                allow = line.contains(" allow: ");
            }
        }
        if allow && now == Some(act) {
            found.extend(line.split('"').skip(1).step_by(2));
        }
    }
    found
}

/// Whether a subject, or each that another pattern matches, matches this pattern.
pub(crate) fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some(one), Some(token)) if one == token || (one == "*" && token != ">") => {}
            _ => return false,
        }
    }
}
