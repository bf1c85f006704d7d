//! Bodies of messages and values of buckets, as JSON.

use serde::Deserialize;
use serde::de::Error;

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

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
}
