//! Files that say how to run: settings, keys, certificates, contexts.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest such file that is read, in bytes. A bundle of certificates has some hundred kilobytes.
const LARGEST: u64 = 1 << 20;

/// Reads a file's text. A path may lead to something without an end, such as a device.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        let why = format!("it is larger than {LARGEST} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_an_error() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 1048576 bytes");
    }
}
