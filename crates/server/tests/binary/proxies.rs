//! Forward-auth behind the real nginx and the real Caddy, configured by the examples in `docs`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use http::HeaderMap;
use reqwest::Method;
use serde_json::json;
use tokenhouse_testkit::process::{Installation, Server};
use tokenhouse_testkit::proxies::{Caddy, Nginx};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Answer, Client, install, person};

/// A request as it arrived at the API behind the proxy.
#[derive(Debug)]
struct Arrived {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

type Arrivals = Arc<Mutex<Vec<Arrived>>>;

async fn record(State(arrivals): State<Arrivals>, request: Request) -> &'static str {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let target = parts.uri.to_string();
    arrivals.lock().unwrap().push(Arrived { method: parts.method, target, headers: parts.headers, body });
    "from the API"
}

/// An API that records what arrives.
async fn api() -> (SocketAddr, Arrivals) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let arrivals = Arrivals::default();
    let router = Router::new().fallback(record).with_state(Arc::clone(&arrivals));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, arrivals)
}

/// Tokenhouse, a proxy in front of an API, and a token for each role.
struct Setting {
    proxy: SocketAddr,
    /// Keeps the proxy running.
    _program: Box<dyn Send>,
    tokenhouse: Server,
    _installation: Installation,
    arrivals: Arrivals,
    admin: String,
    member: String,
}

impl Setting {
    async fn new(start: fn(SocketAddr, SocketAddr) -> (SocketAddr, Box<dyn Send>)) -> Self {
        let installation = install();
        installation.configure(
            "[[gateway.rules]]\npath = \"/admin/{*rest}\"\nrole = \"Admin\"\n\
             [[gateway.rules]]\nmethods = [\"POST\"]\npath = \"/open\"\nrole = \"Member\"\n",
        );
        let admin = person(&installation, "admin@example.com", "Admin");
        let member = person(&installation, "member@example.com", "Member");
        let tokenhouse = installation.serve();
        let (api, arrivals) = api().await;
        let (proxy, program) = start(tokenhouse.address, api);
        Self { proxy, _program: program, tokenhouse, _installation: installation, arrivals, admin, member }
    }

    fn client(&self, token: &str) -> Client {
        Client::at(self.proxy, token)
    }

    /// What has arrived since the last time.
    fn arrived(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.arrivals.lock().unwrap())
    }

    /// The status of a request whose target is sent exactly as it is written here.
    async fn raw(&self, method: &str, target: &str, token: &str, more: &str) -> u16 {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n{more}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
    }
}

fn nginx(tokenhouse: SocketAddr, api: SocketAddr) -> (SocketAddr, Box<dyn Send>) {
    let nginx = Nginx::start(tokenhouse, api).unwrap();
    (nginx.address, Box::new(nginx))
}

fn caddy(tokenhouse: SocketAddr, api: SocketAddr) -> (SocketAddr, Box<dyn Send>) {
    let caddy = Caddy::start(tokenhouse, api).unwrap();
    (caddy.address, Box::new(caddy))
}

macro_rules! behind_both {
    ($($test:ident),+ $(,)?) => {
        mod behind_nginx {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Setting::new(super::nginx).await).await;
            })+
        }
        mod behind_caddy {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Setting::new(super::caddy).await).await;
            })+
        }
    };
}

behind_both!(
    a_good_token_passes_with_its_identity,
    a_bad_token_does_not_pass,
    a_role_that_is_too_low_does_not_pass,
    what_a_client_says_about_itself_has_no_effect,
    a_path_cannot_be_disguised,
    bodies_and_targets_arrive_whole,
);

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

async fn a_good_token_passes_with_its_identity(setting: Setting) {
    let direct = Client::new(&setting.tokenhouse, &setting.admin);
    let teams = json!({ "name": "Data, Ops", "members": [2] });
    direct.post("/api/teams", &teams).await.expect(201);
    let answer = setting.client(&setting.member).get("/things").await.expect(200);
    assert_eq!(answer.body, b"from the API");
    let arrived = setting.arrived();
    let [arrived] = &arrived[..] else { panic!("{arrived:?}") };
    let me = direct.get("/api/users/2").await.expect(200).json();
    for (name, value) in [
        ("x-auth-user-id", "2"),
        ("x-auth-user", me["user_id"].as_str().unwrap()),
        ("x-auth-email", "member@example.com"),
        ("x-auth-role", "Member"),
        ("x-auth-teams", "Data%2C%20Ops,Public"),
        ("x-auth-user-type", "Human"),
        ("x-auth-token-id", "2"),
    ] {
        let mut found = header(&arrived.headers, name).join(" ");
        if name == "x-auth-teams" {
            let mut teams: Vec<_> = found.split(',').collect();
            teams.sort_unstable();
            found = teams.join(",");
        }
        assert_eq!(found, value, "{name}");
    }
    assert!(header(&arrived.headers, "authorization").is_empty(), "the API does not get the token");
    let text = format!("{:?}", arrived.headers);
    assert!(!text.contains(&setting.member), "the API does not get the token");
}

fn assert_challenged(answer: &Answer, error: &str) {
    assert_eq!(answer.status, 401);
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer realm=\"tokenhouse\"") && challenge.contains(error), "{challenge}");
}

async fn a_bad_token_does_not_pass(setting: Setting) {
    let good = setting.client(&setting.member);
    assert_challenged(&good.without_token().get("/").await, "");
    assert_challenged(&good.with_token("nonsense").get("/").await, "invalid_token");
    good.get("/").await.expect(200);
    let direct = Client::new(&setting.tokenhouse, &setting.member);
    // Over a connection to the proxy that is kept, revoked and restored: it acts at once.
    direct.request(Method::DELETE, "/api/user-tokens/current").send().await.unwrap();
    assert_challenged(&good.get("/").await, "has been revoked");
    assert_eq!(setting.arrived().len(), 1, "only the good one arrived");
}

async fn a_role_that_is_too_low_does_not_pass(setting: Setting) {
    let member = setting.client(&setting.member);
    member.get("/admin/x").await.expect(403);
    member.post("/things", &json!({})).await.expect(403);
    member.delete("/things").await.expect(403);
    assert!(setting.arrived().is_empty());
    member.post("/open", &json!({})).await.expect(200);
    let admin = setting.client(&setting.admin);
    admin.get("/admin/x").await.expect(200);
    admin.delete("/things").await.expect(200);
    // A lowered role acts at once.
    let direct = Client::new(&setting.tokenhouse, &setting.admin);
    direct.put("/api/users/2", &json!({ "role": "Admin" })).await.expect(200);
    member.get("/admin/x").await.expect(200);
    direct.put("/api/users/2", &json!({ "role": "Member" })).await.expect(200);
    member.get("/admin/x").await.expect(403);
}

async fn what_a_client_says_about_itself_has_no_effect(setting: Setting) {
    let spoofed = "X-Auth-Role: Admin\r\nX-Auth-Role: Admin\r\nX-Auth-User-Id: 1\r\nX-Auth-User: root\r\n\
        X-Auth-Email: root@example.com\r\nX-Auth-Teams: Board\r\nX-Auth-User-Type: Service\r\n\
        X-Auth-Token-Id: 1\r\nX-Auth-Assertion: forged\r\nX_Auth_Role: Admin\r\n";
    assert_eq!(setting.raw("GET", "/things", &setting.member, spoofed).await, 200);
    let arrived = setting.arrived();
    let headers = &arrived[0].headers;
    assert_eq!(header(headers, "x-auth-role"), ["Member"]);
    assert_eq!(header(headers, "x-auth-user-id"), ["2"]);
    assert_eq!(header(headers, "x-auth-teams"), ["Public"]);
    for name in headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-auth") || name.as_str().starts_with("x_auth"))
    {
        for value in header(headers, name.as_str()) {
            assert!(
                !["Admin", "1", "root", "root@example.com", "Board", "Service", "forged"].contains(&value),
                "{name}"
            );
        }
    }
    for original in [
        "X-Original-Method: GET\r\nX-Original-URI: /things\r\n",
        "X-Original-Method: GET\r\nX-Original-URL: http://h/things\r\n",
        "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /things\r\n",
        "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /things\r\nX-Original-Method: GET\r\nX-Original-URI: /things\r\n",
        "X_Forwarded_Uri: /things\r\nX-HTTP-Method-Override: GET\r\n",
    ] {
        for (method, target) in [("GET", "/admin/x"), ("DELETE", "/things")] {
            assert_eq!(setting.raw(method, target, &setting.member, original).await, 403, "{original}");
        }
        // Nor can a client lock itself out, or the address in the log be forged.
        let more = format!("{original}X-Forwarded-For: 203.0.113.9\r\n");
        assert_eq!(setting.raw("GET", "/things", &setting.member, &more).await, 200, "{original}");
    }
    let direct = Client::new(&setting.tokenhouse, &setting.member);
    let tokens = direct.with_token(&setting.member).get("/api/user-tokens").await.expect(200).json();
    assert_ne!(tokens[0]["last_used_ip"], "203.0.113.9");
}

async fn a_path_cannot_be_disguised(setting: Setting) {
    for target in ["/%61dmin/x", "/ADMIN/x", "/admin/x?y", "/admin/x/", "/admin", "/Adm%49n/x%20y"] {
        assert_eq!(setting.raw("GET", target, &setting.member, "").await, 403, "{target}");
        assert_eq!(setting.raw("GET", target, &setting.admin, "").await, 200, "{target}");
    }
    setting.arrived();
    for target in [
        "/things/../admin/x",
        "/things/%2e%2e/admin/x",
        "/./admin/x",
        "//admin/x",
        "/things%2f..%2fadmin/x",
        "/admin%2Fx",
        "/things%5c..%5cadmin/x",
        "/things;/..;/admin/x%00",
    ] {
        let status = setting.raw("GET", target, &setting.member, "").await;
        assert!(matches!(status, 400 | 403), "{target}: {status}");
    }
    assert!(setting.arrived().is_empty(), "{:?}", setting.arrived());
}

async fn bodies_and_targets_arrive_whole(setting: Setting) {
    let admin = setting.client(&setting.admin);
    let body = vec![b'x'; 300_000];
    let sent = admin.request(Method::POST, "/things?a=1&b=%2F%20&c=/../admin").body(body.clone());
    Client::send(sent).await.unwrap().expect(200);
    let arrived = setting.arrived();
    assert_eq!(arrived[0].method, Method::POST);
    assert_eq!(arrived[0].target, "/things?a=1&b=%2F%20&c=/../admin");
    assert!(arrived[0].body == body, "{} bytes arrived", arrived[0].body.len());
    for target in ["/a%20b/c%C3%A4?x=%26", "/things/?", "/a:b/@c;d=e,f"] {
        assert_eq!(setting.raw("GET", target, &setting.admin, "").await, 200, "{target}");
        assert_eq!(setting.arrived()[0].target.trim_end_matches('?'), target.trim_end_matches('?'));
    }
}
