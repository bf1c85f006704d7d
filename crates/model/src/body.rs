//! Bodies of messages and values of buckets, as JSON.

use serde::Deserialize;
use serde::de::Error;
use serde_json::Value;

/// The largest that is read, in bytes: what a NATS server recommends as the most a message may have. The server
/// configuration that comes with racktick allows an eighth of it.
pub const LARGEST: usize = 8 << 20;

/// Reads one.
///
/// # Errors
/// When it is no `T`, is nested deeper than 128 levels, or is larger than [`LARGEST`].
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, serde_json::Error> {
    if body.len() > LARGEST {
        let length = body.len();
        return Err(serde_json::Error::custom(format_args!(
            "it is {length} bytes long; at most {LARGEST} are read"
        )));
    }
    serde_json::from_slice(body)
}

/// How many lists and objects lie in each other. What becomes a part of a body has to leave room for the rest of it
/// within the 128 levels that [`read`] follows.
pub fn depth(value: &Value) -> usize {
    let deepest = match value {
        Value::Array(values) => values.iter().map(depth).max(),
        Value::Object(values) => values.values().map(depth).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(body: &str) -> String {
        read::<Value>(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn neither_length_nor_depth_is_without_end() {
        let long = format!("\"{}\"", "x".repeat(LARGEST - 2));
        assert!(read::<Value>(long.as_bytes()).is_ok());
        assert!(refusal(&format!("{long} ")).contains("8388609 bytes long"));
        let deep = |levels| "[".repeat(levels) + &"]".repeat(levels);
        assert!(read::<Value>(deep(127).as_bytes()).is_ok());
        assert!(refusal(&deep(128)).contains("recursion limit"));
        assert!(refusal(&"[".repeat(1_000_000)).contains("recursion limit"));
    }

    #[test]
    fn depth_counts_lists_and_objects_along_the_deepest_path() {
        for (value, levels) in [
            (json!("a"), 0),
            (json!([]), 1),
            (json!({}), 1),
            (json!([1, [2], 3]), 2),
            (json!({"a": [{"b": []}], "c": {}}), 4),
        ] {
            assert_eq!(depth(&value), levels, "{value}");
        }
    }
}
