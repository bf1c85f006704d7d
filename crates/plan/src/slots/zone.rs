//! Time zones by name.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::ScheduleError;
use super::text::quoted;

/// How many names are suggested.
const SUGGESTIONS: usize = 3;
/// How alike a name must be to be suggested, from 0 to 1.
const ALIKE: f64 = 0.7;

/// The time zone of an IANA name, from the database in the program: the machine's own may be missing or older, and
/// two workers must never disagree about a slot.
pub(super) fn find(name: &str) -> Result<TimeZone, ScheduleError> {
    let database = TimeZoneDatabase::bundled();
    let known = !name.is_empty() && name.trim() == name;
    match database.get(name) {
        Ok(zone) if known => Ok(zone),
        _ => Err(ScheduleError::Zone {
            name: quoted(name),
            advice: advice(&database, name.trim()),
        }),
    }
}

fn advice(database: &TimeZoneDatabase, name: &str) -> String {
    let nearest = nearest(database, name);
    if nearest.is_empty() {
        "write an IANA name, such as `Europe/Berlin` or `UTC`".to_owned()
    } else {
        format!("did you mean {}?", nearest.join(" or "))
    }
}

/// Names that a person may have meant: those of the same city first, then those that look alike.
fn nearest(database: &TimeZoneDatabase, name: &str) -> Vec<String> {
    // Nothing that long is a misspelt name, and comparing costs its length.
    if name.is_empty() || name.len() > 64 {
        return Vec::new();
    }
    let wanted = name.to_lowercase().replace(' ', "_");
    let mut scored: Vec<(f64, String)> = database
        .available()
        .filter_map(|known| {
            let known = known.as_str();
            let lower = known.to_lowercase();
            let city = lower.rsplit('/').next().unwrap_or_default();
            let likeness = if city == wanted.rsplit('/').next().unwrap_or_default() {
                1.0
            } else {
                strsim::normalized_damerau_levenshtein(&lower, &wanted)
                    .max(strsim::normalized_damerau_levenshtein(city, &wanted))
            };
            (likeness >= ALIKE).then(|| (likeness, format!("`{known}`")))
        })
        .collect();
    scored.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| one.cmp(other)));
    scored
        .into_iter()
        .take(SUGGESTIONS)
        .map(|(_, name)| name)
        .collect()
}
