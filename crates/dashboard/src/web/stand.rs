//! How a page stands, and what is news to whoever has it as it stood before.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Bytes;
use tokio::time::Instant;

use super::pages::Section;

/// How a page stands: what stands for the ids of its sections, and for the text of each. As text, numbers with a dot in
/// between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stand(Vec<u32>);

impl Stand {
    /// How these sections stand.
    pub(super) fn of(sections: &[Section]) -> Self {
        let ids: Vec<_> = sections.iter().map(|section| &section.id).collect();
        let texts = sections.iter().map(|section| short(&section.html));
        Self([short(&ids)].into_iter().chain(texts).collect())
    }

    /// What a page said of itself; `None` when it is no stand.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let parts = text.split('.').map(|part| u32::from_str_radix(part, 16));
        parts.collect::<Result<_, _>>().ok().map(Self)
    }
}

impl fmt::Display for Stand {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (number, part) in self.0.iter().enumerate() {
            let dot = if number > 0 { "." } else { "" };
            write!(f, "{dot}{part:x}")?;
        }
        Ok(())
    }
}

fn short(of: &(impl Hash + ?Sized)) -> u32 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    // Half of it is as good as all of it, only shorter.
    (hasher.finish() >> 32) as u32
}

/// A page as it was made once, ready to be sent to any number of readers.
pub(super) struct Made {
    /// Everything that was known then is on it.
    pub(super) at: Instant,
    stand: Stand,
    /// Per section the lines of an event that say what it is now.
    lines: Vec<Bytes>,
}

impl Made {
    pub(super) fn new(at: Instant, sections: Vec<Section>) -> Self {
        Self {
            at,
            stand: Stand::of(&sections),
            lines: sections
                .iter()
                .map(|section| lines(&section.html))
                .collect(),
        }
    }

    pub(super) fn stand(&self) -> Stand {
        self.stand.clone()
    }

    /// The events that bring a page up to this: all of it when there were other sections than now, or none.
    pub(super) fn after(&self, before: Option<Stand>) -> Vec<Bytes> {
        let known = before.filter(|before| {
            before.0.len() == self.stand.0.len() && before.0.first() == self.stand.0.first()
        });
        let mut events = Vec::new();
        match known {
            None => {
                events.push(Bytes::from_static(b"event: all\n"));
                events.extend(self.lines.iter().cloned());
            }
            Some(known) => {
                let both = known.0.iter().zip(&self.stand.0).skip(1);
                for (lines, (before, now)) in self.lines.iter().zip(both) {
                    if before != now {
                        let end = if events.is_empty() { "" } else { "\n" };
                        events.push(Bytes::from(format!("{end}event: section\n")));
                        events.push(lines.clone());
                    }
                }
            }
        }
        if !events.is_empty() {
            // With the last of them the page stands so: whoever comes back says this.
            events.push(Bytes::from(format!("id: {}\n\n", self.stand)));
        }
        events
    }
}

/// An event's data is lines; what ends a line in it must not end the event.
fn lines(text: &str) -> Bytes {
    let mut lines = String::with_capacity(text.len() + 7);
    for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
        lines.extend(["data: ", line, "\n"]);
    }
    lines.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(sections: [(&str, &str); 2]) -> Made {
        let sections = sections.map(|(id, html)| Section {
            id: id.into(),
            html: html.into(),
        });
        Made::new(Instant::now(), sections.into())
    }

    fn sent(made: &Made, before: Option<&Made>) -> String {
        let bytes = made.after(before.map(Made::stand)).concat();
        let text = String::from_utf8(bytes).unwrap();
        text.replace(&format!("id: {}\n\n", made.stand), "!")
    }

    #[test]
    fn only_what_changed_is_sent_again() {
        let first = made([("a", "1"), ("b", "1")]);
        assert_eq!(sent(&first, None), "event: all\ndata: 1\ndata: 1\n!");
        let same = made([("a", "1"), ("b", "1")]);
        assert_eq!(sent(&same, Some(&first)), "");
        let one = made([("a", "2"), ("b", "1")]);
        assert_eq!(sent(&one, Some(&first)), "event: section\ndata: 2\n!");
        let both = made([("a", "2"), ("b", "2")]);
        let said = "event: section\ndata: 2\n\nevent: section\ndata: 2\n!";
        assert_eq!(sent(&both, Some(&first)), said);
        let other = made([("a", "2"), ("c", "1")]);
        assert!(sent(&other, Some(&one)).starts_with("event: all\n"));
    }

    #[test]
    fn a_text_of_several_lines_stays_one_event() {
        let first = made([("a", "1"), ("b", "1")]);
        let next = made([("a", "1\r\n\nevent: x\rid: y"), ("b", "1")]);
        let said = "event: section\ndata: 1\ndata: \ndata: event: x\ndata: id: y\n!";
        assert_eq!(sent(&next, Some(&first)), said);
    }

    #[test]
    fn a_stand_is_read_as_it_was_written() {
        let stand = made([("a", "1"), ("b", "1")]).stand();
        assert_eq!(Stand::from_text(&stand.to_string()), Some(stand));
        for text in ["", "x", "1.", "1.-2", "1.123456789"] {
            assert_eq!(Stand::from_text(text), None, "{text}");
        }
    }
}
