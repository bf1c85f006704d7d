//! The file that tells the broker whom to let in. It is also the record of which key is whose: a seed may be moved away
//! to the host of its role, its public half stays here.

use std::collections::BTreeMap;

use super::Role;

/// The permissions of whoever has no key.
const LOCAL: &str = "ROLE_LOCAL";

/// The public keys of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    /// Each role's.
    pub(super) roles: BTreeMap<Role, String>,
    /// The user that a connection without a key is. Nobody has its seed.
    pub(super) local: String,
    /// Whether a connection without a key is let in.
    pub(super) lets_in: bool,
}

impl Authorization {
    /// Reads back what [`text`](Self::text) wrote, and what a person took away from it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lines = || {
            text.lines()
                .map(|line| line.split('#').next().unwrap_or_default().trim())
        };
        let user = |variable: &str| {
            let of_role = format!("permissions: ${variable} }}");
            let line = lines().find(|line| line.ends_with(&of_role))?;
            let key = line.strip_prefix("{ nkey: ")?.split(',').next()?.trim();
            is_public(key).then(|| key.to_owned())
        };
        let roles = Role::ALL
            .into_iter()
            .filter_map(|role| Some((role, user(&role.variable())?)));
        Some(Self {
            roles: roles.collect(),
            local: user(LOCAL)?,
            lets_in: lines().any(|line| line.starts_with("no_auth_user")),
        })
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        let user = |(variable, key): (String, &str)| {
            format!("    {{ nkey: {key}, permissions: ${variable} }}\n")
        };
        let users: String = self
            .roles
            .iter()
            .map(|(role, key)| (role.variable(), key.as_str()))
            .chain([(LOCAL.to_owned(), self.local.as_str())])
            .map(user)
            .collect();
        let no_auth_user = match self.lets_in {
            true => format!("no_auth_user: {}\n", self.local),
            false => String::new(),
        };
        format!(
            "# Whom the broker lets in, and as what: public keys only. Written by `racktick setup --credentials`.\n\
             # The server's configuration includes it; `nats-server --signal reload` makes a running server read it.\n\
             \n\
             include \"roles.conf\"\n\
             \n\
             authorization {{\n  users: [\n{users}  ]\n}}\n\
             \n\
             # A connection without a key may start cycles and see events. Delete the line below to let nobody in\n\
             # without a key; it stays deleted.\n\
             {no_auth_user}"
        )
    }
}

/// Whether a text looks like a user's public key.
pub(super) fn is_public(key: &str) -> bool {
    key.len() == 56
        && key.starts_with('U')
        && key
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_the_deleted_line_stays_deleted() {
        let key = |letter: char| format!("U{}", letter.to_string().repeat(55));
        let written = Authorization {
            roles: Role::ALL.into_iter().zip(('A'..).map(key)).collect(),
            local: key('Z'),
            lets_in: true,
        };
        assert_eq!(Authorization::parse(&written.text()).unwrap(), written);
        let off = |change: fn(&str) -> String| {
            let lines = written.text().lines().map(change).collect::<Vec<_>>();
            Authorization::parse(&lines.join("\n")).unwrap()
        };
        let closed = Authorization {
            lets_in: false,
            ..written.clone()
        };
        assert_eq!(
            off(|line| line.replace("no_auth_user", "#no_auth_user")),
            closed
        );
        let deleted = off(|line| match line.starts_with("no_auth_user") {
            true => String::new(),
            false => line.into(),
        });
        assert_eq!(deleted, closed);
        assert!(!closed.text().contains("no_auth_user:"));
        assert_eq!(Authorization::parse(&closed.text()).unwrap(), closed);
        assert_eq!(Authorization::parse("authorization { token: x }"), None);
    }
}
