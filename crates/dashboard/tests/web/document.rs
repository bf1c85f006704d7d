//! The API's description, against what is really answered.

use std::collections::{BTreeMap, BTreeSet};

use boon::{Compiler, Schemas};
use dashboard::tokens::Role;
use jiff::Timestamp;
use model::id::CycleId;
use model::name::RackName;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::dashboard::{Dashboard, SIZE};
use crate::evidence;
use crate::support::story::Teller;

const HERE: &str = "memory:///openapi.json";

/// A document, to hold answers against.
struct Described(Value);

impl Described {
    fn paths(&self) -> BTreeSet<&str> {
        let paths = self.0["paths"].as_object().unwrap();
        paths.keys().map(String::as_str).collect()
    }

    /// The schema of an answer to a path; null where there is none.
    fn schema(&self, path: &str, status: StatusCode, kind: &str) -> Value {
        let answer = &self.0["paths"][path]["get"]["responses"][status.as_str()];
        assert!(
            answer.is_object(),
            "{path} does not say that it answers {status}"
        );
        answer["content"][kind]["schema"].clone()
    }

    /// What is wrong with an answer, if anything; nothing more may be in it than what is described.
    fn wrong(&self, schema: &Value, answer: &Value) -> Option<String> {
        let mut schema = schema.clone();
        schema["unevaluatedProperties"] = json!(false);
        let mut document = self.0.clone();
        document["answer"] = schema;
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.enable_format_assertions();
        compiler.add_resource(HERE, document).unwrap();
        let index = compiler
            .compile(&format!("{HERE}#/answer"), &mut schemas)
            .unwrap_or_else(|error| panic!("a schema makes no sense: {error:#}"));
        let found = schemas.validate(answer, index);
        found.err().map(|error| format!("{error:#}"))
    }
}

#[tokio::test]
async fn every_answer_is_as_it_is_described() {
    let object = evidence::object(6);
    let mut story = Teller::new(41).story(SIZE);
    let kept = Some(evidence::kept(&object));
    story.extend(evidence::ran(6, 60, "noble", evidence::failed(), kept));
    let dashboard = Dashboard::start_for(&story, false).await;
    let job = evidence::job(6).to_string();
    let objects = dashboard.ledger.bus().objects("evidence");
    let name = evidence::name(6, &object);
    objects.put(&name, &object).await.unwrap();
    let token = dashboard
        .tokens
        .add("ann", Role::Viewer, Timestamp::now())
        .unwrap();
    let get = async |path: &str| {
        let url = format!("http://{}/api/v1{path}", dashboard.address);
        let request = dashboard.client.get(url).bearer_auth(&token);
        request.send().await.unwrap()
    };
    let json = async |path: &str| get(path).await.json::<Value>().await.unwrap();
    let described = Described(json("/openapi.json").await);
    assert!(described.0["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(described.0["servers"][0]["url"], "/api/v1");

    let events = json("/events?kind=job.finished&limit=1000").await;
    let mut events = events["items"].as_array().unwrap().iter();
    let event = events.find(|event| event["job"] == job).unwrap();
    let text = |name: &str| event[name].as_str().unwrap().to_owned();
    let names = BTreeMap::from([
        ("rack", text("rack")),
        ("machine", text("machine")),
        ("cycle", text("cycle")),
        ("job", text("job")),
    ]);
    let nobody = CycleId::of_slot(&RackName::new("r9").unwrap(), Timestamp::UNIX_EPOCH);
    let nobody = BTreeMap::from([
        ("rack", "r9".to_owned()),
        ("machine", "nobody".into()),
        ("cycle", nobody.to_string()),
        ("job", nobody.to_string()),
    ]);
    let at = |path: &str, names: &BTreeMap<&str, String>| {
        names.iter().fold(path.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        })
    };
    for path in described.paths() {
        let here = at(path, &names);
        let answer = get(&here).await;
        assert_eq!(answer.status(), StatusCode::OK, "{here}");
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap();
        let kind = kind.split(';').next().unwrap().to_owned();
        let schema = described.schema(path, StatusCode::OK, &kind);
        assert!(
            schema.is_object(),
            "{path} does not say that it answers {kind}"
        );
        if kind == "application/json" {
            let answer = answer.json().await.unwrap();
            // The document describes no document.
            if path != "/openapi.json" {
                assert_eq!(described.wrong(&schema, &answer), None, "{here}");
                let broken = json!({"as_of": 7});
                assert!(
                    described.wrong(&schema, &broken).is_some(),
                    "{path} is not described"
                );
                let mut more = answer.clone();
                more["invented"] = 7.into();
                assert!(
                    described.wrong(&schema, &more).is_some(),
                    "{path} may be anything"
                );
            }
        }
        let parameters = described.0["paths"][path]["get"]["parameters"].clone();
        let parameters = parameters.as_array().cloned().unwrap_or_default();
        let named = path.matches('{').count();
        let of_path = parameters.iter().filter(|one| one["in"] == "path");
        assert_eq!(of_path.count(), named, "{path}");

        let url = format!("http://{}/api/v1{here}", dashboard.address);
        let mut problems = vec![(
            StatusCode::UNAUTHORIZED,
            dashboard.client.get(url).send().await.unwrap(),
        )];
        if named > 0 && !path.ends_with("/cycles") && !path.ends_with("/decisions") {
            problems.push((StatusCode::NOT_FOUND, get(&at(path, &nobody)).await));
        }
        for parameter in parameters.iter().filter(|one| one["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            if name == "kind" {
                continue;
            }
            let answer = get(&format!("{here}?{name}={}", "x".repeat(300))).await;
            problems.push((StatusCode::BAD_REQUEST, answer));
        }
        for (status, answer) in problems {
            let url = answer.url().to_string();
            assert_eq!(answer.status(), status, "{url}");
            let schema = described.schema(path, status, "application/problem+json");
            let problem = answer.json().await.unwrap();
            assert_eq!(described.wrong(&schema, &problem), None, "{url}");
        }
    }
    // What is answered, and so described: the router and the document are made from the same routes.
    for path in [
        "/fleet",
        "/events",
        "/verdicts.csv",
        "/trends",
        "/jobs/{job}",
    ] {
        assert!(described.paths().contains(path), "{path}");
    }
}
