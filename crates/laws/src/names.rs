//! Subjects and keys: one name has one token, and what is read is what was written.

use model::name::{MachineName, RackName};
use model::subject::{Subject, key};

/// The longest subject that the broker is asked to keep, in bytes: three for each byte of a name, and the words around.
const LONGEST_SUBJECT: usize = 2048;

/// A text that is read as a subject or a key is exactly what racktick writes for it; any text can be a machine's name,
/// and no two names share a token.
pub fn subject(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(subject) = text.parse::<Subject>() {
        assert_eq!(subject.to_string(), text, "{subject:?}");
    }
    if let Some((rack, cycle)) = key::parse_cycle(text) {
        assert_eq!(key::cycle(&rack, cycle), text);
    }
    if let Some(machine) = key::parse_machine(text) {
        assert_eq!(key::machine(&machine), text);
    }
    if let Ok(machine) = MachineName::new(text) {
        let token = machine.token();
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-=".contains(&byte)),
            "{token}"
        );
        assert_eq!(MachineName::from_token(&token).as_ref(), Ok(&machine));
        let subject = Subject::Submit {
            rack: RackName::new("r".repeat(256)).expect("a name of the greatest length"),
            machine,
        };
        let written = subject.to_string();
        assert!(written.len() < LONGEST_SUBJECT, "{} bytes", written.len());
        assert_eq!(written.parse::<Subject>().as_ref(), Ok(&subject));
    }
    if let Ok(rack) = RackName::new(text) {
        assert_eq!(key::rack(&rack), text);
        assert_eq!(text.split('.').count(), 1, "a rack is one token");
    }
}
