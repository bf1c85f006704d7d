//! Checks input the way the server's schema library does, with its messages: every field's complaints at once, nested
//! as the input is.

use jiff::Timestamp;
use serde_json::{Map, Number, Value, json};

use super::document;
use super::duration;
use crate::call::Call;
use crate::reply::Reply;

/// What a field may hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text {
        shortest: usize,
    },
    Choice(&'static [&'static str]),
    Pattern(fn(&str) -> bool),
    Url,
    Email,
    Number,
    Flag,
    /// A number or a text such as `2h30m`, stored as seconds.
    Duration,
    Time,
    Mapping,
    MappingOf {
        key: &'static Kind,
        value: &'static Kind,
    },
    List {
        of: &'static Kind,
        shortest: usize,
        longest: usize,
    },
    Object(&'static [Field]),
    /// One of the known shapes of `provision_data`.
    Provision,
}

pub(super) const TEXT: Kind = Kind::Text { shortest: 0 };
pub(super) const TEXTS: Kind = Kind::List {
    of: &TEXT,
    shortest: 0,
    longest: usize::MAX,
};
pub(super) const OBJECTS: Kind = Kind::List {
    of: &Kind::Mapping,
    shortest: 0,
    longest: usize::MAX,
};

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) nullable: bool,
}

impl Field {
    pub(super) const fn required(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            required: true,
            nullable: false,
        }
    }

    pub(super) const fn optional(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            required: false,
            nullable: false,
        }
    }

    pub(super) const fn nullable(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            required: false,
            nullable: true,
        }
    }
}

/// A request's JSON body, checked. A body of another content type counts as an empty object.
pub(super) fn body(call: &Call, fields: &[Field]) -> Result<Map<String, Value>, Reply> {
    let value = json_body(call)?;
    object(fields, &value).map_err(|messages| Reply::invalid("json", messages))
}

pub(super) fn json_body(call: &Call) -> Result<Value, Reply> {
    let content_type = call.header("content-type").unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let is_json =
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    if !is_json || call.body.is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_slice(&call.body) {
        // `null` counts as no body.
        Ok(Value::Null) => Ok(json!({})),
        Ok(value) => Ok(value),
        Err(_) => Err(Reply::abort(400, "Bad Request")),
    }
}

/// An object's fields as stored, or all complaints.
pub(super) fn object(fields: &[Field], value: &Value) -> Result<Map<String, Value>, Value> {
    let Some(given) = value.as_object() else {
        return Err(json!({"_schema": ["Invalid input type."]}));
    };
    let (mut loaded, mut complaints) = (Map::new(), Map::new());
    for field in fields {
        match given.get(field.name) {
            None if field.required => {
                complaints.insert(
                    field.name.to_owned(),
                    json!(["Missing data for required field."]),
                );
            }
            None => {}
            Some(Value::Null) if field.nullable => {
                loaded.insert(field.name.to_owned(), Value::Null);
            }
            Some(value) => match load(&field.kind, value) {
                Ok(value) => {
                    loaded.insert(field.name.to_owned(), value);
                }
                Err(complaint) => {
                    complaints.insert(field.name.to_owned(), complaint);
                }
            },
        }
    }
    for name in given.keys() {
        if !fields.iter().any(|field| field.name == name) {
            complaints.insert(name.clone(), json!(["Unknown field."]));
        }
    }
    if complaints.is_empty() {
        Ok(loaded)
    } else {
        Err(complaints.into())
    }
}

/// One value as stored, or what is wrong with it.
pub(super) fn load(kind: &Kind, value: &Value) -> Result<Value, Value> {
    let no = |message: &str| Err(json!([message]));
    if value.is_null() {
        return no("Field may not be null.");
    }
    match kind {
        Kind::Text { shortest } => match value.as_str() {
            None => no("Not a valid string."),
            Some(text) if text.chars().count() < *shortest => {
                no(&format!("Shorter than minimum length {shortest}."))
            }
            Some(_) => Ok(value.clone()),
        },
        Kind::Choice(choices) => match value.as_str() {
            None => no("Not a valid string."),
            Some(text) if choices.contains(&text) => Ok(value.clone()),
            Some(_) => no(&format!("Must be one of: {}.", choices.join(", "))),
        },
        Kind::Pattern(fits) => match value.as_str() {
            None => no("Not a valid string."),
            Some(text) if fits(text) => Ok(value.clone()),
            Some(_) => no("String does not match expected pattern."),
        },
        Kind::Url => match value.as_str() {
            None => no("Not a valid string."),
            Some(text) if is_url(text) => Ok(value.clone()),
            Some(_) => no("Not a valid URL."),
        },
        Kind::Email => match value.as_str() {
            None => no("Not a valid string."),
            Some(text)
                if text
                    .split_once('@')
                    .is_some_and(|(user, host)| !user.is_empty() && host.contains('.')) =>
            {
                Ok(value.clone())
            }
            Some(_) => no("Not a valid email address."),
        },
        Kind::Number => integer(value)
            .map(Value::from)
            .ok_or_else(|| json!(["Not a valid integer."])),
        Kind::Flag => flag(value)
            .map(Value::from)
            .ok_or_else(|| json!(["Not a valid boolean."])),
        Kind::Duration => duration::seconds(value)
            .map(Value::from)
            .map_err(|reason| json!([format!("Invalid duration format: {reason}")])),
        Kind::Time => match value.as_str().map(time) {
            Some(Some(_)) => Ok(value.clone()),
            _ => no("Not a valid datetime."),
        },
        Kind::Mapping => {
            if value.is_object() {
                Ok(value.clone())
            } else {
                no("Not a valid mapping type.")
            }
        }
        Kind::MappingOf { key, value: of } => mapping(key, of, value),
        Kind::List {
            of,
            shortest,
            longest,
        } => list(of, *shortest, *longest, value),
        Kind::Object(fields) => object(fields, value).map(Value::Object),
        Kind::Provision => document::provision_data(value),
    }
}

fn list(of: &Kind, shortest: usize, longest: usize, value: &Value) -> Result<Value, Value> {
    let Some(items) = value.as_array() else {
        return Err(json!(["Not a valid list."]));
    };
    let (mut loaded, mut complaints) = (Vec::new(), Map::new());
    for (index, item) in items.iter().enumerate() {
        match load(of, item) {
            Ok(item) => loaded.push(item),
            Err(complaint) => {
                complaints.insert(index.to_string(), complaint);
            }
        }
    }
    if !complaints.is_empty() {
        return Err(complaints.into());
    }
    if loaded.len() < shortest {
        return Err(json!([format!("Shorter than minimum length {shortest}.")]));
    }
    if loaded.len() > longest {
        return Err(json!([format!("Longer than maximum length {longest}.")]));
    }
    Ok(loaded.into())
}

fn mapping(key: &Kind, of: &Kind, value: &Value) -> Result<Value, Value> {
    let Some(entries) = value.as_object() else {
        return Err(json!(["Not a valid mapping type."]));
    };
    let (mut loaded, mut complaints) = (Map::new(), Map::new());
    for (name, item) in entries {
        let mut complaint = Map::new();
        if let Err(wrong) = load(key, &Value::from(name.as_str())) {
            complaint.insert("key".to_owned(), wrong);
        }
        match load(of, item) {
            Ok(item) => {
                loaded.insert(name.clone(), item);
            }
            Err(wrong) => {
                complaint.insert("value".to_owned(), wrong);
            }
        }
        if !complaint.is_empty() {
            complaints.insert(name.clone(), complaint.into());
        }
    }
    if complaints.is_empty() {
        Ok(loaded.into())
    } else {
        Err(complaints.into())
    }
}

/// Numeric strings and fractions become integers; truth values do not.
fn integer(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64()?.trunc();
            (whole.abs() < 9e15).then(|| Number::from(whole as i64))
        }
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => text.trim().parse::<i64>().ok().map(Number::from),
        _ => None,
    }
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_i64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" | "on" | "y" | "yes" => Some(true),
            "f" | "false" | "0" | "off" | "n" | "no" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn is_url(text: &str) -> bool {
    let schemes = ["http://", "https://", "ftp://", "ftps://"];
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace)
    })
}

/// ISO 8601 with `Z`, an offset, or none (then UTC).
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let zoned = text.parse::<Timestamp>().ok();
    zoned.or_else(|| {
        text.parse::<jiff::civil::DateTime>()
            .ok()?
            .in_tz("UTC")
            .ok()
            .map(|time| time.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[Field] = &[
        Field::required("name", Kind::Text { shortest: 1 }),
        Field::optional("count", Kind::Number),
        Field::optional("on", Kind::Flag),
        Field::optional("tags", TEXTS),
        Field::optional("way", Kind::Choice(&["a", "b"])),
        Field::nullable("maybe", Kind::Mapping),
    ];

    #[test]
    fn every_complaint_comes_at_once() {
        let wrong =
            json!({"name": "", "count": true, "on": 3, "tags": ["a", 1], "way": "c", "other": 1});
        assert_eq!(
            object(FIELDS, &wrong).unwrap_err(),
            json!({
                "name": ["Shorter than minimum length 1."],
                "count": ["Not a valid integer."],
                "on": ["Not a valid boolean."],
                "tags": {"1": ["Not a valid string."]},
                "way": ["Must be one of: a, b."],
                "other": ["Unknown field."],
            })
        );
        assert_eq!(
            object(FIELDS, &json!({})).unwrap_err(),
            json!({"name": ["Missing data for required field."]})
        );
        assert_eq!(
            object(FIELDS, &json!([])).unwrap_err(),
            json!({"_schema": ["Invalid input type."]})
        );
        assert_eq!(
            object(FIELDS, &json!({"name": null})).unwrap_err(),
            json!({"name": ["Field may not be null."]})
        );
    }

    #[test]
    fn what_can_be_read_as_the_kind_is_stored_as_it() {
        let loaded = object(
            FIELDS,
            &json!({"name": "n", "count": " 12 ", "on": "yes", "maybe": null}),
        )
        .unwrap();
        assert_eq!(
            Value::from(loaded),
            json!({"name": "n", "count": 12, "on": true, "maybe": null})
        );
        let loaded = object(FIELDS, &json!({"name": "n", "count": 1.9})).unwrap();
        assert_eq!(loaded["count"], 1);
    }

    #[test]
    fn times_are_read_with_and_without_an_offset() {
        let at = "2026-11-21T00:55:32Z".parse().unwrap();
        for text in [
            "2026-11-21T00:55:32Z",
            "2026-11-21T01:55:32+01:00",
            "2026-11-21T00:55:32",
        ] {
            assert_eq!(time(text), Some(at), "{text}");
        }
        assert_eq!(time("yesterday"), None);
    }
}
