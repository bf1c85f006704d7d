//! Queries and the two forms of request bodies.

use percent_encoding::percent_decode_str;

/// Names and values of a query or of an `application/x-www-form-urlencoded` body, in order, blanks kept.
pub(crate) fn pairs(encoded: &str) -> Vec<(String, String)> {
    encoded
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    if text.contains(['+', '%']) {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    } else {
        text.to_owned()
    }
}

/// One part of a `multipart/form-data` body.
pub(crate) struct Part<'a> {
    pub(crate) name: String,
    pub(crate) content: &'a [u8],
}

/// The parts of a `multipart/form-data` body; `None` when the content type or the body is no such form.
pub(crate) fn parts<'a>(content_type: &str, body: &'a [u8]) -> Option<Vec<Part<'a>>> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters
        .split(';')
        .filter_map(|parameter| parameter.trim().strip_prefix("boundary="))
        .map(|boundary| boundary.trim_matches('"'))
        .find(|boundary| !boundary.is_empty())?;
    // A delimiter stands at a line start; the first one may open the body.
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let mut rest = body.strip_prefix(&delimiter[2..])?;
    let mut found = Vec::new();
    while !rest.starts_with(b"--") {
        let start = position(rest, b"\r\n")? + 2;
        let end = position(&rest[start - 2..], &delimiter)? + start - 2;
        let part = rest.get(start..end).unwrap_or_default();
        let (head, content) = match part.strip_prefix(b"\r\n") {
            Some(content) => (&part[..0], content),
            None => {
                let blank = position(part, b"\r\n\r\n")?;
                (&part[..blank], &part[blank + 4..])
            }
        };
        if let Some(name) = field_name(&String::from_utf8_lossy(head)) {
            found.push(Part { name, content });
        }
        rest = &rest[end + delimiter.len()..];
    }
    Some(found)
}

fn field_name(head: &str) -> Option<String> {
    let line = head.lines().find(|line| {
        line.to_ascii_lowercase()
            .starts_with("content-disposition:")
    })?;
    let name = line
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("name="))?;
    Some(name.trim_matches('"').to_owned())
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_keeps_order_repeats_and_blanks() {
        let found = pairs("tags=a&tags=b+c%2Cd&op=&x");
        let expected = [("tags", "a"), ("tags", "b c,d"), ("op", ""), ("x", "")];
        assert_eq!(
            found,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_multipart_form_gives_its_fields() {
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"distro_series\"\r\n\r\nnoble\r\n\
            --xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: x/y\r\n\r\n\x00\r\n1\r\n--xyz--\r\n";
        let found = parts("multipart/form-data; boundary=xyz", body).expect("a form");
        let found: Vec<_> = found
            .iter()
            .map(|part| (part.name.as_str(), part.content))
            .collect();
        assert_eq!(
            found,
            [
                ("distro_series", b"noble".as_slice()),
                ("file", b"\x00\r\n1".as_slice())
            ]
        );
    }

    #[test]
    fn what_is_no_form_is_refused() {
        assert!(parts("application/json", b"{}").is_none());
        assert!(parts("multipart/form-data; boundary=xyz", b"--xyz\r\nno end").is_none());
    }
}
