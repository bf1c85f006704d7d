//! Tokens: issue, refresh, revoke.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::auth::access_token;
use super::schema::{self, Field, Kind};
use crate::call::Call;
use crate::reply::{Answer, Reply};
use crate::world::{RefreshToken, World};

const REFRESH_TOKEN_LASTS: SignedDuration = SignedDuration::from_hours(6 * 24);
const INPUT: &[Field] = &[Field::required("refresh_token", Kind::Text { shortest: 1 })];
/// What of a client's record goes into its tokens.
const CLAIMED: [&str; 6] = [
    "client_id",
    "role",
    "max_priority",
    "allowed_queues",
    "max_reservation_time",
    "email",
];

fn tokens(world: &World, permissions: &Map<String, Value>) -> Map<String, Value> {
    let claims = permissions
        .iter()
        .filter(|(name, _)| CLAIMED.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let seconds = world.config.token_seconds;
    let mut body = Map::new();
    body.insert(
        "access_token".to_owned(),
        access_token(&claims, &world.directory.signing_key, i64::from(seconds)).into(),
    );
    body.insert("token_type".to_owned(), "Bearer".into());
    body.insert("expires_in".to_owned(), seconds.into());
    body
}

pub(super) fn issue(world: &mut World, call: &Call) -> Answer {
    let refused = |text: &str| Err(Reply::html(401, text));
    let Some((scheme, value)) = call
        .header("authorization")
        .and_then(|header| header.split_once(' '))
    else {
        return refused("No authorization header specified");
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return refused("Client id and key must be specified in authorization header");
    }
    let pair = STANDARD
        .decode(value.trim())
        .ok()
        .and_then(|pair| String::from_utf8(pair).ok());
    let Some((client_id, secret)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else {
        return refused("No authorization header specified");
    };
    let Some(record) = world
        .directory
        .clients
        .get(client_id)
        .filter(|record| record.secret == secret)
        .cloned()
    else {
        return refused("Invalid client id or client key");
    };
    let role = record.permissions.get("role").and_then(Value::as_str);
    let expires_at = (!matches!(role, Some("admin" | "manager")))
        .then(|| Timestamp::now() + REFRESH_TOKEN_LASTS);
    world.directory.tokens_issued += 1;
    let refresh_token = world.chance.key(
        &["refresh token", &world.directory.tokens_issued.to_string()],
        48,
    );
    let stored = RefreshToken {
        client_id: client_id.to_owned(),
        expires_at,
        revoked: false,
    };
    world
        .directory
        .refresh_tokens
        .insert(refresh_token.clone(), stored);
    let mut body = tokens(world, &record.permissions);
    body.insert("refresh_token".to_owned(), refresh_token.into());
    Ok(Reply::json(&body))
}

fn given(call: &Call) -> Result<String, Reply> {
    let input = schema::body(call, INPUT)?;
    Ok(input
        .get("refresh_token")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned())
}

pub(super) fn refresh(world: &mut World, call: &Call) -> Answer {
    let token = given(call)?;
    let Some(stored) = world.directory.refresh_tokens.get(&token) else {
        return Err(Reply::abort(400, "Invalid refresh token."));
    };
    if stored.revoked {
        return Err(Reply::abort(400, "Refresh token revoked."));
    }
    if stored
        .expires_at
        .is_some_and(|expires| expires < Timestamp::now())
    {
        return Err(Reply::abort(400, "Refresh token expired"));
    }
    let permissions = world
        .directory
        .clients
        .get(&stored.client_id)
        .map(|record| record.permissions.clone())
        .unwrap_or_default();
    Ok(Reply::json(&tokens(world, &permissions)))
}

pub(super) fn revoke(world: &mut World, call: &Call) -> Answer {
    let token = given(call)?;
    match world.directory.refresh_tokens.get_mut(&token) {
        None => Err(Reply::abort(400, "Refresh token not found")),
        Some(stored) if stored.revoked => {
            Err(Reply::abort(400, "Refresh token has already been revoked"))
        }
        Some(stored) => {
            stored.revoked = true;
            Ok(Reply::json(&json!({"status": "OK"})))
        }
    }
}
