//! From a request to its answer: find the endpoint, let faults strike, check who asks, do the work.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER,
};
use hyper::{Request, Response};

use crate::call::{Access, Call, Caller, Endpoint, Found, Routes};
use crate::fault::{Fault, FaultKind, Place};
use crate::reply::{HTML, JSON, Reply};
use crate::wire::{Cut, NoAnswer, Payload, Reset, read_body};
use crate::world::World;
use crate::{control, maas, testflinger};

const HASH_HEADER: &str = "x-maas-api-hash";
const TRACE_HEADER: &str = "maas-trace-id";
/// Names one state of MAAS's API description; clients compare it only.
const API_HASH: &str = "5aa1e9a3b7c8c0ffee0d0bada55e77ab1e5ca1ab";
/// The page of a proxy in front of a service.
const PROXY_PAGE: &str = "<html>\r\n<head><title>Service</title></head>\r\n<body>\r\n<center><h1>Please wait</h1></center>\r\n</body>\r\n</html>\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Maas,
    Testflinger,
    Control,
}

impl Service {
    fn of(path: &str) -> Self {
        match path.trim_start_matches('/').split('/').next() {
            Some("MAAS") => Service::Maas,
            Some("lab") => Service::Control,
            _ => Service::Testflinger,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Service::Maas => "maas",
            Service::Testflinger => "testflinger",
            Service::Control => "lab",
        }
    }
}

/// The lab as the connections see it.
pub(crate) struct Desk {
    world: Mutex<World>,
    routes: Routes,
}

impl Desk {
    pub(crate) fn new(world: World) -> Self {
        let routes = Routes::new(&[maas::ENDPOINTS, testflinger::ENDPOINTS, control::ENDPOINTS]);
        Self {
            world: Mutex::new(world),
            routes,
        }
    }

    /// A handler that panicked left the state as it was before its next change, so the lab goes on.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request, unless a fault takes the answer.
    pub(crate) async fn serve(
        &self,
        request: Request<Incoming>,
        reset: &Reset,
    ) -> Result<Response<Payload>, NoAnswer> {
        let (head, body) = request.into_parts();
        let body = read_body(body).await.ok_or(NoAnswer)?;
        let raw_query = head.uri.query().unwrap_or_default().to_owned();
        let mut call = Call {
            method: head.method.as_str().to_owned(),
            path: head.uri.path().to_owned(),
            query: crate::form::pairs(&raw_query),
            raw_query,
            headers: head.headers,
            body,
            params: Vec::new(),
            caller: Caller::default(),
        };
        let service = Service::of(&call.path);
        let target = self.target(service, &mut call);
        let name = target.as_ref().map_or("unknown", |endpoint| endpoint.name);
        let fault = self.count(service, name, &call);
        let Some(fault) = fault else {
            let reply = self.answer(target, &mut call);
            return Ok(response(&call, service, reply));
        };
        if fault.delay_ms > 0 {
            tokio::time::sleep(fault.delay()).await;
        }
        let reply = fault.kind.works().then(|| self.answer(target, &mut call));
        disturbed(&call, service, &fault, reply, reset).await
    }

    fn count(&self, service: Service, endpoint: &'static str, call: &Call) -> Option<Fault> {
        let mut world = self.world();
        world.counters.count_request(endpoint);
        if service == Service::Control {
            return None;
        }
        let place = Place {
            service: service.name(),
            endpoint,
            method: &call.method,
            path: &call.path,
        };
        let fault = world.faults.strike(&place)?;
        world.counters.count_fault(fault.kind.as_str());
        Some(fault)
    }

    /// Who answers, or the answer that nobody has to give.
    fn target(&self, service: Service, call: &mut Call) -> Result<&'static Endpoint, Reply> {
        let (path, op) = match service {
            Service::Maas => maas::operation(call),
            Service::Testflinger | Service::Control => (call.path.clone(), None),
        };
        match self.routes.find(&call.method, &path, op.as_deref()) {
            Found::Endpoint { endpoint, params } => {
                if service == Service::Maas && !path.ends_with('/') {
                    return Err(slash_missing(call));
                }
                call.params = params;
                Ok(endpoint)
            }
            Found::OtherMethod(_) if service == Service::Maas => Ok(&maas::OTHER_OPERATION),
            Found::OtherMethod(methods) => Err(other_method(&call.method, methods)),
            Found::Nothing => Err(match service {
                Service::Maas => maas::not_found(&path),
                Service::Testflinger => testflinger::not_found(),
                Service::Control => {
                    Reply::abort(404, "There is no such endpoint; see the lab's README.")
                }
            }),
        }
    }

    fn answer(&self, target: Result<&'static Endpoint, Reply>, call: &mut Call) -> Reply {
        let run = |endpoint: &'static Endpoint| {
            let mut world = self.world();
            match endpoint.access {
                Access::Open => {}
                Access::Maas => maas::auth::check(&mut world, call)?,
                Access::Roles(roles) => {
                    call.caller = testflinger::auth::check(&world, call, roles)?
                }
            }
            (endpoint.run)(&mut world, call)
        };
        target.and_then(run).unwrap_or_else(|early| early)
    }
}

/// What the framework answers when a path has other methods only; OPTIONS asks just that.
fn other_method(method: &str, mut methods: BTreeSet<&'static str>) -> Reply {
    if methods.contains("GET") {
        methods.insert("HEAD");
    }
    methods.insert("OPTIONS");
    let reply = match method {
        "OPTIONS" => Reply::html(200, ""),
        _ => Reply::abort(405, "Method Not Allowed"),
    };
    let methods: Vec<_> = methods.into_iter().collect();
    reply.with_header(ALLOW, &methods.join(", "))
}

/// MAAS redirects reads to the path with a slash; other methods have no such luck.
fn slash_missing(call: &Call) -> Reply {
    if call.method == "GET" || call.method == "HEAD" {
        let query = if call.raw_query.is_empty() {
            String::new()
        } else {
            format!("?{}", call.raw_query)
        };
        Reply::new(301, HTML, "").with_header(LOCATION, &format!("{}/{query}", call.path))
    } else {
        maas::not_found(&call.path)
    }
}

fn response(call: &Call, service: Service, reply: Reply) -> Response<Payload> {
    let mut response = Response::new(Payload::Whole(
        (!reply.body.is_empty()).then_some(reply.body),
    ));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.extend(reply.headers);
    if service == Service::Maas && call.path.starts_with("/MAAS/api/") {
        headers.insert(HASH_HEADER, HeaderValue::from_static(API_HASH));
        if let Some(trace) = call.headers.get(TRACE_HEADER) {
            headers.insert(TRACE_HEADER, trace.clone());
        }
    }
    response
}

/// The answer as a fault leaves it. `reply` is there when the work was done.
async fn disturbed(
    call: &Call,
    service: Service,
    fault: &Fault,
    reply: Option<Reply>,
    reset: &Reset,
) -> Result<Response<Payload>, NoAnswer> {
    let made_up = |content_type, body: &str| {
        let reply = Reply::new(
            fault.status.unwrap_or(200),
            content_type,
            Bytes::copy_from_slice(body.as_bytes()),
        );
        Ok(response(call, service, reply))
    };
    match (fault.kind, reply) {
        (FaultKind::Hang | FaultKind::HangAfter, _) => std::future::pending().await,
        (FaultKind::ResetBefore | FaultKind::ResetAfter, _) => {
            reset.store(true, Ordering::Relaxed);
            Err(NoAnswer)
        }
        (FaultKind::EmptyList, _) => made_up(JSON, "[]\n"),
        (FaultKind::Null, _) => made_up(JSON, "null\n"),
        (FaultKind::Html, _) => made_up(HTML, PROXY_PAGE),
        (FaultKind::Endless, _) => {
            let mut endless = response(call, service, Reply::new(200, JSON, ""));
            // Blanks before a value are valid JSON, so a parser cannot know that none will come.
            *endless.body_mut() = Payload::Endless(Bytes::from(vec![b' '; 16 << 10]));
            Ok(endless)
        }
        (FaultKind::Malformed, Some(mut reply)) => {
            let half = reply.body.len() / 2;
            reply.body = [&reply.body[..half], b"\x00<!"].concat().into();
            Ok(response(call, service, reply))
        }
        (FaultKind::Truncate, Some(reply)) => {
            let (whole, half) = (reply.body.len(), reply.body.slice(..reply.body.len() / 2));
            let mut cut = response(call, service, reply);
            cut.headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(whole.max(1)));
            cut.headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
            *cut.body_mut() = Payload::Cut(Cut::Piece(half));
            Ok(cut)
        }
        (_, Some(reply)) => Ok(response(call, service, reply)),
        (_, None) => {
            let status = fault.status.unwrap_or(503);
            let mut reply = match service {
                Service::Maas => Reply::maas_text(status, "The lab was asked to fail."),
                Service::Testflinger | Service::Control => {
                    Reply::abort(status, "The lab was asked to fail.")
                }
            };
            if let Some(seconds) = fault.retry_after {
                reply = reply.with_header(RETRY_AFTER, &seconds.to_string());
            }
            Ok(response(call, service, reply))
        }
    }
}
