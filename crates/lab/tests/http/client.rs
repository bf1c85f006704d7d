//! A lab of one's own and a client that speaks to it plainly.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lab::{AgentChange, Lab, LabConfig, Outcome};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

static PROVIDER: Once = Once::new();
static HTTP: LazyLock<()> = LazyLock::new(|| {
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("no provider is installed yet");
    });
});
static NONCE: AtomicU64 = AtomicU64::new(0);

/// Between two looks for a state, so that waiting tests leave the processor to the lab.
const BETWEEN_LOOKS: Duration = Duration::from_millis(3);
/// How long a state may take to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running lab and a client for it.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) http: reqwest::Client,
}

/// An answer, read completely.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let headers = response.headers().clone();
        let content_type = headers
            .get("content-type")
            .map(|value| value.to_str().unwrap().to_owned());
        Self {
            status: response.status().as_u16(),
            content_type: content_type.unwrap_or_default(),
            headers,
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// `message` of an error.
    pub(crate) fn message(&self) -> String {
        self.json()["message"]
            .as_str()
            .unwrap_or_else(|| panic!("{self:?}"))
            .to_owned()
    }
}

/// Jobs that pass, thousands of times faster than real.
pub(crate) fn fast() -> LabConfig {
    LabConfig {
        racks: 1,
        machines: 2,
        speed: 6000.0,
        ..LabConfig::default()
    }
}

/// Agents that do nothing while the test looks.
pub(crate) fn slow() -> LabConfig {
    LabConfig {
        racks: 1,
        machines: 2,
        speed: 0.001,
        ..LabConfig::default()
    }
}

impl Bench {
    pub(crate) async fn start(config: LabConfig) -> Self {
        LazyLock::force(&HTTP);
        let lab = Lab::start_on_free_port(config).await.unwrap();
        Self {
            lab,
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.http.request(
            Method::from_bytes(method.as_bytes()).unwrap(),
            format!("{}{path}", self.lab.url()),
        )
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(self.request(method, path).json(&body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, body).await
    }

    /// A token of one of the lab's own clients.
    pub(crate) async fn token(&self, client_id: &str) -> String {
        let secret = self.lab.config().client_secret(client_id).unwrap();
        let request = self
            .request("POST", "/v1/oauth2/token")
            .basic_auth(client_id, Some(secret));
        self.send(request).await.json()["access_token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn as_client(
        &self,
        client_id: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut request = self
            .request(method, path)
            .bearer_auth(self.token(client_id).await);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    /// Submits to a queue and says under which id.
    pub(crate) async fn submit(&self, queue: &str) -> String {
        let body = serde_json::json!({
            "job_queue": queue,
            "provision_data": {"distro": "noble"},
            "reserve_data": {"timeout": 120},
        });
        self.submit_job(body).await
    }

    /// Submits a job of one's own and says under which id.
    pub(crate) async fn submit_job(&self, job: Value) -> String {
        let answer = self.post("/v1/job", job).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["job_id"].as_str().unwrap().to_owned()
    }

    /// The agent's next job goes like this.
    pub(crate) fn next_job(&self, agent: &str, outcome: Outcome) {
        let change = AgentChange {
            next_job: Some(outcome),
            ..AgentChange::default()
        };
        self.lab.change_agent(agent, change).unwrap();
    }

    pub(crate) async fn result(&self, id: &str) -> Value {
        self.get(&format!("/v1/result/{id}")).await.json()
    }

    pub(crate) async fn cancel(&self, id: &str) -> Answer {
        self.post(
            &format!("/v1/job/{id}/action"),
            serde_json::json!({"action": "cancel"}),
        )
        .await
    }

    /// Waits until the job's result fits.
    pub(crate) async fn until(&self, id: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let result = self.result(id).await;
            if fits(&result) {
                return result;
            }
            assert!(began.elapsed() < PATIENCE, "{result}");
            pause().await;
        }
    }

    pub(crate) async fn until_complete(&self, id: &str) -> Value {
        self.until(id, |result| result["job_state"] == "complete")
            .await
    }

    /// Waits until the lab looks as wished.
    pub(crate) async fn until_lab(&self, fits: impl Fn(&Lab) -> bool) {
        let began = Instant::now();
        while !fits(&self.lab) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.lab.machines());
            pause().await;
        }
    }

    /// A MAAS request signed as MAAS's own clients do.
    pub(crate) fn maas(&self, method: &str, path: &str) -> RequestBuilder {
        let header = plaintext(&self.lab.api_key(), now(), &nonce());
        self.request(method, &format!("/MAAS/api/2.0/{path}"))
            .header("authorization", header)
    }

    pub(crate) async fn maas_get(&self, path: &str) -> Answer {
        self.send(self.maas("GET", path)).await
    }

    pub(crate) async fn maas_post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self
            .maas("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.join("&"));
        self.send(request).await
    }

    pub(crate) fn system_id(&self, hostname: &str) -> String {
        self.lab.machine(hostname).unwrap().system_id
    }
}

pub(crate) fn now() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    )
    .unwrap()
}

pub(crate) fn nonce() -> String {
    format!("nonce{}", NONCE.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn plaintext(key: &str, timestamp: i64, nonce: &str) -> String {
    let parts: Vec<_> = key.split(':').collect();
    format!(
        "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"{}\", \
         oauth_token=\"{}\", oauth_signature=\"%26{}\", oauth_timestamp=\"{timestamp}\", oauth_nonce=\"{nonce}\"",
        parts[0], parts[1], parts[2]
    )
}

/// The moment between two looks for a state.
pub(crate) async fn pause() {
    tokio::time::sleep(BETWEEN_LOOKS).await;
}
