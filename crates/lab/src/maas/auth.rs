//! OAuth 1.0 as MAAS checks it: consumer, token, timestamp, nonce, method, signature, in this order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use hyper::header::WWW_AUTHENTICATE;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha1::Sha1;

use crate::call::Call;
use crate::reply::Reply;
use crate::world::World;

/// Everything but RFC 3986's unreserved characters, as OAuth 1.0 wants it.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Seconds a timestamp may lie behind the server's clock. The future is not checked.
const THRESHOLD: i64 = 300;

/// Lets a request with a valid signature pass.
pub(crate) fn check(world: &mut World, call: &Call) -> Result<(), Reply> {
    let parameters = parameters(call);
    let get = |name: &str| {
        parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let (Some(consumer), Some(token), Some(signature), Some(method), Some(timestamp), Some(nonce)) = (
        get("oauth_consumer_key"),
        get("oauth_token"),
        get("oauth_signature"),
        get("oauth_signature_method"),
        get("oauth_timestamp"),
        get("oauth_nonce"),
    ) else {
        return Err(Reply::maas_text(401, "Forbidden"));
    };
    if let Some(version) = get("oauth_version").filter(|version| *version != "1.0") {
        return Err(unauthorized(&format!(
            "'OAuth version {version} not supported.'"
        )));
    }
    if consumer != world.key.consumer {
        return Err(unauthorized("Invalid API key."));
    }
    if token != world.key.token {
        return Err(unauthorized(&format!("'Invalid access token: {token}'")));
    }
    let now = Timestamp::now();
    let Ok(stamp) = timestamp.trim().parse::<i64>() else {
        return Err(Reply::maas_text(
            400,
            format!("Invalid value for oauth_timestamp: {timestamp:?}"),
        ));
    };
    if now.as_second() - stamp > THRESHOLD {
        return Err(unauthorized(&format!(
            "'Expired timestamp: given {stamp} and now {} has a greater difference than threshold {THRESHOLD}'",
            now.as_second()
        )));
    }
    if world.nonces.insert(nonce.to_owned(), now).is_some() {
        return Err(unauthorized(&format!("'Nonce already used: {nonce}'")));
    }
    let secret = &world.key.secret;
    let (base, valid) = match method {
        "PLAINTEXT" => {
            // The library names the expected signature in its error, and with this method that is the secret.
            let base = format!("&{secret}");
            let valid = base == signature;
            (base, valid)
        }
        "HMAC-SHA1" => {
            let base = base_string(call, &parameters);
            let valid = STANDARD.encode(hmac_sha1(&format!("&{secret}"), &base)) == signature;
            (base, valid)
        }
        other => {
            return Err(unauthorized(&format!(
                "'Signature method {other} not supported try one of the following: PLAINTEXT, HMAC-SHA1'"
            )));
        }
    };
    if valid {
        Ok(())
    } else {
        Err(unauthorized(&format!(
            "'Invalid signature. Expected signature base string: {base}'"
        )))
    }
}

fn unauthorized(reason: &str) -> Reply {
    Reply::maas_text(401, format!("Authorization Error: {reason}"))
        .with_header(WWW_AUTHENTICATE, "OAuth realm=\"OAuth\"")
}

/// The OAuth parameters of the header; without a header, those of the query.
fn parameters(call: &Call) -> Vec<(String, String)> {
    let Some(header) = call
        .header("authorization")
        .and_then(|header| header.strip_prefix("OAuth "))
    else {
        return call
            .query
            .iter()
            .filter(|(name, _)| name.starts_with("oauth_"))
            .cloned()
            .collect();
    };
    header
        .split(',')
        .filter(|element| !element.contains("realm"))
        .filter_map(|element| element.trim().split_once('='))
        .map(|(name, value)| {
            (
                name.trim().to_owned(),
                decoded(value.trim().trim_matches('"')),
            )
        })
        .collect()
}

fn decoded(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// What HMAC-SHA1 signs: method, URL as the server sees it, and all parameters in order.
fn base_string(call: &Call, oauth: &[(String, String)]) -> String {
    let scheme = call.header("x-forwarded-proto").unwrap_or("http");
    let host = call
        .header("x-forwarded-host")
        .or_else(|| call.header("host"))
        .unwrap_or_default()
        .to_lowercase();
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(default_port).unwrap_or(&host);
    let url = format!("{scheme}://{host}{}", call.path);
    let in_form = call
        .header("content-type")
        .unwrap_or_default()
        .starts_with("application/x-www-form-urlencoded");
    let form = if in_form { call.form() } else { Vec::new() };
    let mut parameters: Vec<(String, String)> = call
        .query
        .iter()
        .filter(|(name, _)| !name.starts_with("oauth_"))
        .chain(oauth)
        .chain(&form)
        .filter(|(name, _)| name != "oauth_signature")
        .map(|(name, value)| (escaped(name), escaped(value)))
        .collect();
    parameters.sort();
    let joined: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    [call.method.as_str(), &url, &joined.join("&")]
        .map(escaped)
        .join("&")
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn hmac_sha1(key: &str, message: &str) -> Vec<u8> {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
