//! Requests and the tables that say who answers them.

use std::collections::BTreeSet;

use bytes::Bytes;
use hyper::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::config::Role;
use crate::form;
use crate::reply::Answer;
use crate::world::World;

/// One request, read completely.
pub(crate) struct Call {
    pub(crate) method: String,
    /// As it came, without the query.
    pub(crate) path: String,
    pub(crate) raw_query: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What stands in the places of `{}` in the endpoint's path.
    pub(crate) params: Vec<String>,
    /// Who asks, as far as Testflinger knows.
    pub(crate) caller: Caller,
}

/// Who calls Testflinger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) client_id: Option<String>,
    /// `None`: neither anonymous nor a valid token.
    pub(crate) role: Option<Role>,
    /// What the token allows; empty without one.
    pub(crate) permissions: Map<String, Value>,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The n-th `{}` of the path.
    pub(crate) fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }

    /// The first value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn query_all(&self, name: &str) -> Vec<&str> {
        self.query
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The fields of a form body of either kind.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        let content_type = self.header("content-type").unwrap_or_default();
        match form::parts(content_type, &self.body) {
            Some(parts) => parts
                .into_iter()
                .map(|part| {
                    (
                        part.name,
                        String::from_utf8_lossy(part.content).into_owned(),
                    )
                })
                .collect(),
            None if content_type.starts_with("application/x-www-form-urlencoded") => {
                form::pairs(&String::from_utf8_lossy(&self.body))
            }
            None => Vec::new(),
        }
    }
}

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// Everybody.
    Open,
    /// Whoever signs with the MAAS key.
    Maas,
    /// Testflinger clients with one of these roles.
    Roles(&'static [Role]),
}

/// One endpoint: `METHOD /path/{}`, for MAAS with `?op=name`.
pub(crate) struct Endpoint {
    pub(crate) name: &'static str,
    pub(crate) access: Access,
    pub(crate) run: fn(&mut World, &Call) -> Answer,
}

/// An endpoint's name taken apart.
struct Route {
    endpoint: &'static Endpoint,
    method: &'static str,
    segments: Vec<&'static str>,
    op: Option<&'static str>,
}

/// Who answers a request.
pub(crate) enum Found {
    Endpoint {
        endpoint: &'static Endpoint,
        params: Vec<String>,
    },
    /// The path is known, but only with these methods (or with other operations).
    OtherMethod(BTreeSet<&'static str>),
    Nothing,
}

/// All endpoints, by path.
pub(crate) struct Routes(Vec<Route>);

impl Routes {
    pub(crate) fn new(tables: &[&'static [Endpoint]]) -> Self {
        let routes = tables
            .iter()
            .flat_map(|table| table.iter())
            .map(|endpoint| {
                let (method, rest) = endpoint
                    .name
                    .split_once(' ')
                    .unwrap_or(("GET", endpoint.name));
                let (path, op) = match rest.split_once("?op=") {
                    Some((path, op)) => (path, Some(op)),
                    None => (rest, None),
                };
                Route {
                    endpoint,
                    method,
                    segments: path.trim_matches('/').split('/').collect(),
                    op,
                }
            });
        Self(routes.collect())
    }

    /// Looks for `path` without regard to a final slash. HEAD is answered as GET.
    pub(crate) fn find(&self, method: &str, path: &str, op: Option<&str>) -> Found {
        let method = if method == "HEAD" { "GET" } else { method };
        let wanted: Vec<&str> = path.trim_matches('/').split('/').collect();
        let mut others = BTreeSet::new();
        for route in &self.0 {
            let Some(params) = matched(&route.segments, &wanted) else {
                continue;
            };
            if route.method == method && route.op == op {
                return Found::Endpoint {
                    endpoint: route.endpoint,
                    params,
                };
            }
            others.insert(route.method);
        }
        if others.is_empty() {
            Found::Nothing
        } else {
            Found::OtherMethod(others)
        }
    }
}

/// What stands in the `{}` of a pattern; `{*}` at the end takes all the rest.
fn matched(pattern: &[&str], wanted: &[&str]) -> Option<Vec<String>> {
    let rest = pattern.last() == Some(&"{*}");
    if if rest {
        wanted.len() < pattern.len()
    } else {
        wanted.len() != pattern.len()
    } {
        return None;
    }
    let mut params = Vec::new();
    for (index, (expected, given)) in pattern.iter().zip(wanted).enumerate() {
        match *expected {
            "{*}" => params.push(wanted[index..].join("/")),
            "{}" if given.is_empty() => return None,
            "{}" => params.push(percent_decode_str(given).decode_utf8_lossy().into_owned()),
            expected if expected != *given => return None,
            _ => {}
        }
    }
    Some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        let parts = |path: &'static str| path.split('/').collect::<Vec<_>>();
        assert_eq!(
            matched(&parts("v1/job/{}"), &parts("v1/job/a%20b")),
            Some(vec!["a b".to_owned()])
        );
        assert_eq!(matched(&parts("v1/job/{}"), &parts("v1/job")), None);
        assert_eq!(matched(&parts("v1/job/{}"), &parts("v1/job/")), None);
        assert_eq!(
            matched(&parts("v1/s/{}/{*}"), &parts("v1/s/a/b/c")),
            Some(vec!["a".to_owned(), "b/c".to_owned()])
        );
    }
}
