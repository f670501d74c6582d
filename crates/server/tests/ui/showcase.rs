//! Pages that only tests and `examples/screenshots.rs` show: everything the macros make, in every state.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokenhouse::app::App;
use tokenhouse::error::{Error, FieldError};
use tokenhouse::observe::Observed;
use tokenhouse::ui::form::Messages;
use tokenhouse::ui::list::Listing;
use tokenhouse::ui::moment::Moment;
use tokenhouse::ui::page::{Page, Rendered, Section, Viewer, Visit};
use tokenhouse::ui::protection::FormTarget;
use tokenhouse::ui::toast::{Happening, Toast};
use tokenhouse::{listener, router, ui};
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::Role;
use tokenhouse_testkit::server::TestServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::layer::layer_fn;

/// Names that break pages which are built without care.
pub(crate) const HOSTILE: [&str; 4] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "مفتاح التقارير الشهرية (v2)",
    "quarterly-revenue-report-export-for-the-finance-department-in-frankfurt-do-not-delete-before-the-audit-of-january-2027-ask-mara-first",
];

/// Serves the product with the pages of this file beside it. Answers where.
pub(crate) async fn serve(server: &TestServer) -> std::net::SocketAddr {
    let app = Arc::clone(&server.app);
    let pages = Router::new()
        .route("/showcase/{role}/list", get(list))
        .route("/showcase/{role}/empty", get(empty))
        .route("/showcase/{role}/details", get(details))
        .route("/showcase/{role}/form", get(form))
        .route("/showcase/{role}/secret", get(secret).post(secret))
        .route("/showcase/hand-over", get(hand_over))
        .route("/showcase/bare", get(bare))
        .route("/showcase/{role}/error/{status}", get(error))
        .route("/showcase/error/{status}", get(error_before_sign_in))
        .route("/showcase/toast", get(toast));
    let observed = layer_fn({
        let app = Arc::clone(&app);
        move |inner| Observed::new(inner, Arc::clone(&app))
    });
    let pages = ui::surrounded(&app, pages).layer(observed).with_state(Arc::clone(&app));
    let router = router::router(app).merge(pages);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("a bound address");
    let stop = CancellationToken::new();
    tokio::spawn(listener::serve(
        listener,
        None,
        listener::routed(router),
        listener::Limits::default(),
        stop,
    ));
    address
}

fn look(visit: &Visit, role: &str) -> Result<(), Error> {
    let role: Role = role.parse().map_err(|_| Error::NotFound("no such role".into()))?;
    let name = match role {
        Role::Member => HOSTILE[2],
        Role::Manager => HOSTILE[1],
        Role::Admin => "Mara Lindqvist",
    };
    visit.seen_by(Viewer { id: UserId(7), name: name.into(), user_name: "mara@example.com".into(), role });
    Ok(())
}

struct Row {
    name: String,
    state: &'static str,
    word: &'static str,
    expires: Option<Moment>,
    used: Option<(Moment, &'static str)>,
    created: Moment,
    scim: bool,
    owner: &'static str,
}

#[derive(Template)]
#[template(path = "list.html")]
struct List {
    page: Page,
    listing: Listing,
    rows: Vec<Row>,
}

fn rows(app: &App, page: &Page) -> Vec<Row> {
    let now = app.clock.now();
    let names = ["macbook-cli", "deploy-key", "🚀 launch-day dashboard", "okta-provisioning"];
    let row = |(place, name): (usize, &str)| {
        let days = [29, 5, 330, -4][place % 4];
        let (state, word) = match place % 4 {
            2 => ("revoked", "Revoked"),
            3 => ("expired", "Expired"),
            _ => ("active", "Active"),
        };
        Row {
            name: name.into(),
            state,
            word,
            expires: (place != 2).then(|| page.moment(now.plus_days(days))),
            used: (place % 3 != 1)
                .then(|| (page.moment(now.plus_seconds(-200)), "2001:db8:85a3::8a2e:370:7334")),
            created: page.moment(now.plus_days(-60)),
            scim: place == 3,
            owner: ["Pipeline Automation", "Kundendatenabgleich und Stammdatenpflege (Produktion Frankfurt)"]
                [place % 2],
        }
    };
    names.into_iter().chain(HOSTILE).enumerate().map(row).collect()
}

async fn list(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(role): Path<String>,
) -> Result<Response, Error> {
    look(&visit, &role)?;
    let page = visit.page(Section::Tokens, "Tokens");
    let listing = Listing::new(&page, ("created", true), (2, 8), 1_148);
    let rows = rows(&app, &page);
    Ok(Rendered(List { page, listing, rows }).into_response())
}

macro_rules! page {
    ($name:ident, $handler:ident, $path:literal, $title:literal) => {
        #[derive(Template)]
        #[template(path = $path)]
        struct $name {
            page: Page,
        }

        async fn $handler(visit: Visit, Path(role): Path<String>) -> Result<Response, Error> {
            look(&visit, &role)?;
            Ok(Rendered($name { page: visit.page(Section::Tokens, $title) }).into_response())
        }
    };
}
page!(Empty, empty, "empty.html", "Tokens");
page!(Secret, secret, "secret.html", "Token generated");

#[derive(Template)]
#[template(path = "details.html")]
struct Details {
    page: Page,
    row: Row,
}

async fn details(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(role): Path<String>,
) -> Result<Response, Error> {
    look(&visit, &role)?;
    let page = visit.page(Section::Tokens, HOSTILE[3]).below("Tokens", "/settings/tokens");
    let row = rows(&app, &page).remove(1);
    Ok(Rendered(Details { page, row }).into_response())
}

#[derive(Template)]
#[template(path = "form.html")]
struct Form {
    page: Page,
    messages: Messages,
    name: String,
}

async fn form(visit: Visit, Path(role): Path<String>) -> Result<Response, Error> {
    look(&visit, &role)?;
    let taken = FieldError {
        field: "name".into(),
        message: "there is a token with this name already, revoked and expired ones count too".into(),
    };
    let messages = Messages::of_error(Error::Invalid(vec![taken]), "name")?;
    let page = visit.page(Section::Tokens, "Generate token");
    Ok(Rendered(Form { page, messages, name: HOSTILE[1].into() }).into_response())
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    page: Page,
    messages: Messages,
}

async fn bare(visit: Visit) -> Response {
    Rendered(SignIn { page: visit.bare("Sign in"), messages: Messages::default() }).into_response()
}

async fn hand_over(visit: Visit) -> Response {
    let target = FormTarget::origin_of(&http::Uri::from_static("http://127.0.0.1:53682/callback?a=b"));
    (target.map(Extension), bare(visit).await).into_response()
}

async fn error(visit: Visit, Path((role, status)): Path<(String, u16)>) -> Result<Response, Error> {
    look(&visit, &role)?;
    error_before_sign_in(Path(status)).await
}

async fn error_before_sign_in(Path(status): Path<u16>) -> Result<Response, Error> {
    Err(match status {
        400 => Error::BadRequest("the form is wrong".into()),
        403 => Error::Forbidden("this needs the role Admin".into()),
        404 => Error::NotFound(format!("there is no token {}", HOSTILE[0])),
        409 => Error::Conflict("there is one with this name already".into()),
        413 => Error::TooLarge { limit: 1_048_576, of: "bytes" },
        422 => Error::field("name", HOSTILE[0]),
        429 => Error::TooMany { retry_after: 30 },
        503 => Error::Unavailable("the password of the database is hunter2".into()),
        999 => panic!("the password is hunter2"),
        _ => Error::internal("the password is hunter2"),
    })
}

async fn toast(State(app): State<Arc<App>>) -> Response {
    Toast::about(Happening::TokenRevoked, 47).then(&app, "/showcase/Admin/list")
}
