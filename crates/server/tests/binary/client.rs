//! Installs the binary and talks to it over HTTP.

use std::net::SocketAddr;
use std::process::{Command, Output};

use http::HeaderMap;
use reqwest::Method;
use serde_json::{Value, json};
use tokenhouse_testkit::process::{Installation, Server};

/// An empty installation of the binary under test.
pub(crate) fn install() -> Installation {
    Installation::new(env!("CARGO_BIN_EXE_tokenhouse"))
}

/// Runs a command that must succeed, and gives what it printed.
pub(crate) fn run(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", complaint(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command said on standard error.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Lets the server write no file beyond this size. `unlimited` lifts it.
pub(crate) fn limit_files(server: &Server, size: &str) {
    let limit = format!("--fsize={size}:unlimited");
    let status = Command::new("prlimit").args(["--pid", &server.id().to_string(), &limit]).status().unwrap();
    assert!(status.success());
}

/// Makes a person with a personal token called `first`, and gives the token.
pub(crate) fn person(installation: &Installation, email: &str, role: &str) -> String {
    let created = run(
        installation,
        &["admin", "create", "--email", email, "--name", email, "--role", role, "--token", "first"],
    );
    let created: Value = serde_json::from_str(&created).unwrap();
    created["bearer_token"].as_str().unwrap().to_owned()
}

/// A client without a pool of connections, so that each request opens its own.
pub(crate) fn http() -> reqwest::ClientBuilder {
    // Fails where another test has done it already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none())
}

/// Talks to one server, with a token or without.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} and no JSON", self.status))
    }

    /// The answer, if it has this status.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

impl Client {
    pub(crate) fn new(server: &Server, token: &str) -> Self {
        Self::at(server.address, token)
    }

    pub(crate) fn at(address: SocketAddr, token: &str) -> Self {
        let token = Some(token.to_owned());
        Self { http: http().build().unwrap(), base: format!("http://{address}"), token }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub(crate) fn without_token(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request; an error if the server is gone.
    pub(crate) async fn send(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }

    pub(crate) async fn try_json(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer, reqwest::Error> {
        Self::send(self.request(method, path).json(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Self::send(self.request(Method::DELETE, path)).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_json(Method::POST, path, body).await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.try_json(Method::PUT, path, body).await.unwrap()
    }

    /// Makes a personal token and gives its id and secret.
    pub(crate) async fn mint(&self, name: &str) -> (i64, String) {
        let minted = self.post("/api/user-tokens", &json!({ "name": name })).await.expect(201).json();
        (minted["id"].as_i64().unwrap(), minted["bearer_token"].as_str().unwrap().to_owned())
    }

    /// Revokes a token.
    pub(crate) async fn revoke(&self, id: i64) -> Answer {
        self.put(&format!("/api/user-tokens/{id}"), &json!({ "revoke": true })).await
    }

    /// What forward-auth answers for the token of this client.
    pub(crate) async fn check(&self, method: &str, path: &str) -> Answer {
        let request = self.request(Method::GET, "/forward-auth");
        let request = request.header("x-original-method", method).header("x-original-uri", path);
        Self::send(request).await.unwrap()
    }
}
