//! Who asks, and whether an endpoint is for them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::call::{Call, Caller};
use crate::config::Role;
use crate::reply::Reply;
use crate::world::World;

/// Seconds by which clocks may differ.
const LEEWAY: i64 = 5;

/// The caller, when one of `roles` is theirs.
pub(crate) fn check(world: &World, call: &Call, roles: &[Role]) -> Result<Caller, Reply> {
    let caller = match call
        .header("authorization")
        .filter(|header| !header.is_empty())
    {
        None if world.config.oidc => {
            return Err(Reply::abort(
                401,
                "Authentication is required for specified endpoint",
            ));
        }
        None => Caller {
            client_id: None,
            role: Some(Role::Contributor),
            permissions: Map::new(),
        },
        Some(header) => match header.strip_prefix("Bearer ") {
            Some(token) => caller_of(decode(token.trim(), &world.directory.signing_key)?)?,
            // Any other scheme is neither a login nor anonymous.
            None => Caller::default(),
        },
    };
    if caller.role.is_some_and(|role| roles.contains(&role)) {
        return Ok(caller);
    }
    let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    Err(Reply::abort(
        403,
        format!("Specified action requires role: {}", names.join(", ")),
    ))
}

fn caller_of(claims: Map<String, Value>) -> Result<Caller, Reply> {
    let permissions = claims
        .get("permissions")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let Some(client_id) = permissions.get("client_id").and_then(Value::as_str) else {
        return Err(Reply::unhandled("'client_id'"));
    };
    let role = match permissions.get("role").and_then(Value::as_str) {
        Some(name) => Role::from_name(name),
        None => Some(Role::Contributor),
    };
    Ok(Caller {
        client_id: Some(client_id.to_owned()),
        role,
        permissions,
    })
}

/// An access token with these permissions.
pub(super) fn access_token(permissions: &Map<String, Value>, key: &str, seconds: i64) -> String {
    let now = Timestamp::now().as_second();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(json!({"alg": "HS256", "typ": "JWT"}));
    let claims = encode(json!({
        "exp": now + seconds,
        "iat": now,
        "sub": "access_token",
        "permissions": permissions,
    }));
    let signed = format!("{head}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(mac(key, &signed).finalize().into_bytes());
    format!("{signed}.{signature}")
}

fn decode(token: &str, key: &str) -> Result<Map<String, Value>, Reply> {
    let undecodable = || Reply::abort(403, "Unable to decode token");
    let (signed, signature) = token.rsplit_once('.').ok_or_else(undecodable)?;
    let (head, claims) = signed.split_once('.').ok_or_else(undecodable)?;
    let json = |part: &str| -> Option<Map<String, Value>> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?).ok()
    };
    let head = json(head).ok_or_else(undecodable)?;
    let claims = json(claims).ok_or_else(undecodable)?;
    let signature = URL_SAFE_NO_PAD
        .decode(signature.trim_end_matches('='))
        .map_err(|_| undecodable())?;
    if head.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(undecodable());
    }
    if mac(key, signed).verify_slice(&signature).is_err() {
        return Err(Reply::abort(403, "Invalid Token signature"));
    }
    let number = |name: &str| claims.get(name).and_then(Value::as_f64);
    let (Some(expires), Some(issued), true) =
        (number("exp"), number("iat"), claims.contains_key("sub"))
    else {
        return Err(Reply::abort(403, "Token is missing a required claim"));
    };
    let now = Timestamp::now().as_second();
    if issued > (now + LEEWAY) as f64 {
        return Err(Reply::abort(401, "Token is not yet valid"));
    }
    if expires <= (now - LEEWAY) as f64 {
        return Err(Reply::abort(401, "Token has expired"));
    }
    Ok(claims)
}

fn mac(key: &str, message: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(message.as_bytes());
    mac
}
