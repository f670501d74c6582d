//! Work for a server besides checking tokens, at a fixed pace.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode, redirect};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::Failure;
use crate::tokenhouse::PASSWORD;

/// One kind of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// A token is minted, and revoked again.
    Mint,
    /// A page of users, and a person's tokens.
    List,
    /// As directories do: is there somebody, and if not, make them; then deactivate them.
    Sync,
    /// Somebody signs in with a password, which has to be hashed.
    SignIn,
}

impl Work {
    /// How often each second.
    const fn per_second(self) -> f64 {
        match self {
            Self::Mint => 50.0,
            Self::List | Self::Sync => 10.0,
            Self::SignIn => 4.0,
        }
    }
}

/// Whoever does the work.
pub struct Background {
    http: reqwest::Client,
    base: String,
    admin: String,
    member: String,
    /// Names are used once.
    next: AtomicUsize,
    runtime: Handle,
}

impl Background {
    /// With the token of an Admin, who has [`PASSWORD`], and that of somebody with a few tokens. Works on `runtime`.
    pub fn new(
        address: SocketAddr,
        admin: String,
        member: String,
        runtime: Handle,
    ) -> Result<Arc<Self>, Failure> {
        // Refuses where it has been done already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).build()?;
        let base = format!("http://{address}");
        Ok(Arc::new(Self { http, base, admin, member, next: AtomicUsize::new(0), runtime }))
    }

    /// Works until `measured` is done, and hands on what that gave.
    ///
    /// # Errors
    /// Also where any work failed, or less than half was done: then it wasn't what is meant.
    pub async fn during<T>(
        self: &Arc<Self>,
        work: &[Work],
        measured: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let mut workers = JoinSet::new();
        let mut counters = Vec::new();
        for one in work {
            let done = Arc::new(AtomicUsize::new(0));
            workers.spawn_on(Arc::clone(self).repeat(*one, Arc::clone(&done)), &self.runtime);
            counters.push((one, done));
        }
        let measured = tokio::select! {
            Some(failure) = workers.join_next() => return Err(failure?.into()),
            measured = measured => measured?,
        };
        let seconds = started.elapsed().as_secs_f64();
        for (one, done) in counters {
            let done = f64::from(u32::try_from(done.load(Ordering::Relaxed))?);
            if done < one.per_second() * seconds / 2.0 {
                return Err(format!("{one:?} was done only {done} times in {seconds:.1} s").into());
            }
        }
        Ok(measured)
    }

    /// Ends with the first failure only.
    async fn repeat(self: Arc<Self>, work: Work, done: Arc<AtomicUsize>) -> String {
        let mut pace = interval(Duration::from_secs_f64(1.0 / work.per_second()));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let worked = match work {
                Work::Mint => self.mint_and_revoke().await,
                Work::List => self.list().await,
                Work::Sync => self.sync().await,
                Work::SignIn => self.sign_in().await,
            };
            if let Err(failure) = worked {
                return format!("{work:?} failed: {failure}");
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn mint_and_revoke(&self) -> Result<(), Failure> {
        let name = format!("background-{}", self.number());
        let minted = self.call(Method::POST, "/api/user-tokens").json(&json!({ "name": name }));
        let minted = expect(minted, StatusCode::CREATED).await?;
        let revoked = self.call(Method::PUT, &format!("/api/user-tokens/{}", minted["id"]));
        expect(revoked.json(&json!({ "revoke": true })), StatusCode::OK).await.map(drop)
    }

    async fn list(&self) -> Result<(), Failure> {
        expect(self.call(Method::GET, "/api/users?page=10&size=100"), StatusCode::OK).await?;
        let own = self.http.get(format!("{}/api/user-tokens", self.base)).bearer_auth(&self.member);
        expect(own, StatusCode::OK).await.map(drop)
    }

    async fn sync(&self) -> Result<(), Failure> {
        let name = format!("synced-{}@example.com", self.number());
        let filter = format!("/scim/v2/Users?filter=userName eq \"{name}\"");
        expect(self.call(Method::GET, &filter), StatusCode::OK).await?;
        let person = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": name,
            "displayName": "Grace Hopper",
            "emails": [{ "value": name, "type": "work", "primary": true }],
            "active": true,
        });
        let made = self.call(Method::POST, "/scim/v2/Users").json(&person);
        let made = expect(made, StatusCode::CREATED).await?;
        let id = made["id"].as_str().ok_or("a person without an id was made")?;
        let leaves = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "path": "active", "value": false }],
        });
        let patch = self.call(Method::PATCH, &format!("/scim/v2/Users/{id}")).json(&leaves);
        expect(patch, StatusCode::OK).await.map(drop)
    }

    async fn sign_in(&self) -> Result<(), Failure> {
        let form = format!("user_name=admin%40example.com&password={PASSWORD}");
        let request = self.http.post(format!("{}/login", self.base)).header("Sec-Fetch-Site", "same-origin");
        let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form);
        expect(request, StatusCode::SEE_OTHER).await.map(drop)
    }

    fn number(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.admin)
    }
}

/// The body of the answer as JSON, null if it is something else.
async fn expect(request: RequestBuilder, status: StatusCode) -> Result<Value, Failure> {
    let answer = request.send().await?;
    let answered = answer.status();
    let body = answer.bytes().await?;
    if answered == status {
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    } else {
        Err(format!("answered {answered} instead of {status}").into())
    }
}
