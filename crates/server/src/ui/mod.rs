//! The web UI: pages rendered on the server. [`routes`] lists every page.

pub mod account;
pub mod alerts;
pub mod assets;
pub mod audit;
mod chart;
mod cookies;
mod device;
mod error_page;
pub mod form;
pub mod hand_over;
pub mod invitation;
pub mod list;
pub mod moment;
pub mod page;
pub mod people;
pub mod policies;
pub mod protection;
pub mod report;
pub mod requests;
pub mod reviews;
pub mod sign_in;
pub mod text;
pub mod theme;
pub mod toast;
pub mod token_shown;
pub mod tokens;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use flate2::Compression;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use self::page::{Section, Visit};
use self::toast::Toast;
use crate::api::status;
use crate::app::App;
use crate::auth::guard::RequestId;
use crate::auth::origin::same_origin;
use crate::auth::session::SignedIn;
use crate::error::{Error, Problem};
use crate::observe;
use crate::verify::gateway;

/// What programs call. Whatever lies under one of these is answered as the API answers.
const API: [&str; 7] =
    ["/api/", "/assets/", "/oauth/", "/scim/", "/.well-known/", "/forward-auth", "/healthz"];

/// A page, or what one of its forms asks for.
#[derive(Debug)]
pub struct Route {
    /// How it is asked for.
    pub method: Method,
    /// Where it is.
    pub path: &'static str,
    /// What answers it.
    answer: MethodRouter<Arc<App>>,
}

/// Every page, by who may see it.
pub fn pages() -> Vec<Route> {
    let show = |path, answer| Route { method: Method::GET, path, answer };
    let change = |path, answer| Route { method: Method::POST, path, answer };
    vec![
        // Anyone.
        show("/", get(front_door)),
        change("/settings/theme", post(theme::choose)),
        show("/login", get(sign_in::log_in_page)),
        change("/login", post(sign_in::log_in)),
        change("/logout", post(sign_in::log_out)),
        // Whoever has a one-time link.
        show("/setup/{code}", get(invitation::setup_page)),
        change("/setup/{code}", post(invitation::set_up)),
        show("/invite/{code}", get(invitation::invitation_page)),
        change("/invite/{code}", post(invitation::accept_invitation)),
        // Whoever is signed in: their own tokens, and for Admins those of service users.
        show("/settings/tokens", get(tokens::list::personal)),
        show("/settings/tokens/generate", get(tokens::generate::form)),
        change("/settings/tokens/generate", post(tokens::generate::generate)),
        show("/settings/tokens/revoke-all", get(tokens::change::revoke_all_form)),
        change("/settings/tokens/revoke-all", post(tokens::change::revoke_all)),
        show("/settings/tokens/{id}", get(tokens::details::details)),
        show("/settings/tokens/{id}/report", get(report::of_token)),
        show("/settings/tokens/{id}/report.md", get(report::of_token_as_document)),
        show("/settings/tokens/{id}/rotate", get(tokens::rotate::form)),
        change("/settings/tokens/{id}/rotate", post(tokens::rotate::rotate)),
        change("/settings/tokens/{id}/plan", post(tokens::plan::plan)),
        change("/settings/tokens/{id}/closing", post(tokens::plan::closing)),
        show("/settings/tokens/{id}/revoke", get(tokens::change::revoke_form)),
        change("/settings/tokens/{id}/revoke", post(tokens::change::revoke)),
        change("/settings/tokens/{id}/restore", post(tokens::change::restore)),
        show("/settings/tokens/{id}/delete", get(tokens::change::delete_form)),
        change("/settings/tokens/{id}/delete", post(tokens::change::delete)),
        show("/settings/tokens/{id}/requests", get(requests::of_token)),
        show("/settings/people/users/{id}/requests", get(requests::of_user)),
        // Admins.
        show("/settings/tokens/service", get(tokens::list::service)),
        show("/settings/requests", get(requests::of_services)),
        // Whoever is signed in: their account.
        show("/api/cli/authorize", get(hand_over::ask)),
        change("/api/cli/authorize", post(hand_over::answer)),
        show("/settings/alerts", get(alerts::list)),
        change("/settings/alerts/deliveries/{id}/retry", post(alerts::retry)),
        show("/settings/people/requests", get(people::requests::list)),
        show("/settings/people/requests/ask", get(people::requests::ask_form)),
        change("/settings/people/requests/ask", post(people::requests::ask)),
        change("/settings/people/requests/{id}/withdraw", post(people::requests::withdraw)),
        show("/settings/account", get(account::account)),
        change("/settings/account/password", post(account::change_password)),
        change("/settings/account/sessions/{id}/end", post(account::end_session)),
        change("/settings/account/sign-out-everywhere", post(account::sign_out_everywhere)),
        // Managers and Admins.
        show("/settings/people/users", get(people::users::list)),
        show("/settings/people/users/{id}", get(people::user::one)),
        show("/settings/people/users/{id}/report", get(report::of_user)),
        show("/settings/people/users/{id}/report.md", get(report::of_user_as_document)),
        show("/settings/people/teams", get(people::teams::list)),
        show("/settings/people/teams/{id}", get(people::team::one)),
        // Admins.
        show("/settings/people/users/add-service-user", get(people::add_service::ask)),
        change("/settings/people/users/add-service-user", post(people::add_service::add)),
        show("/settings/people/users/add-person", get(people::add_person::ask)),
        change("/settings/people/users/add-person", post(people::add_person::add)),
        show("/settings/people/users/{id}/edit", get(people::edit::ask)),
        change("/settings/people/users/{id}/edit", post(people::edit::save)),
        show("/settings/people/users/{id}/deactivate", get(people::account::ask_to_deactivate)),
        change("/settings/people/users/{id}/deactivate", post(people::account::deactivate)),
        show("/settings/people/users/{id}/reactivate", get(people::account::ask_to_reactivate)),
        change("/settings/people/users/{id}/reactivate", post(people::account::reactivate)),
        show("/settings/people/users/{id}/revoke-tokens", get(people::account::ask_to_revoke_tokens)),
        change("/settings/people/users/{id}/revoke-tokens", post(people::account::revoke_tokens)),
        show("/settings/people/users/{id}/invite", get(people::account::ask_to_invite)),
        change("/settings/people/users/{id}/invite", post(people::account::invite)),
        show("/settings/people/requests/{id}/approve", get(people::requests::approve_form)),
        change("/settings/people/requests/{id}/approve", post(people::requests::approve)),
        show("/settings/people/requests/{id}/decline", get(people::requests::decline_form)),
        change("/settings/people/requests/{id}/decline", post(people::requests::decline)),
        show("/settings/people/teams/add", get(people::teams::ask)),
        change("/settings/people/teams/add", post(people::teams::add)),
        show("/settings/people/teams/{id}/edit", get(people::team::ask_to_edit)),
        change("/settings/people/teams/{id}/edit", post(people::team::edit)),
        show("/settings/people/teams/{id}/delete", get(people::team::ask_to_delete)),
        change("/settings/people/teams/{id}/delete", post(people::team::delete)),
        show("/settings/people/teams/{id}/add-member", get(people::members::find)),
        change("/settings/people/teams/{id}/add-member", post(people::members::add)),
        change("/settings/people/teams/{id}/remove-member", post(people::members::remove)),
        show("/settings/audit", get(audit::audit)),
        change("/settings/audit/verify", post(audit::verify)),
        show("/settings/audit.csv", get(audit::download)),
        show("/settings/reviews", get(reviews::reviews)),
        show("/settings/reviews.csv", get(reviews::as_csv)),
        show("/settings/reviews.json", get(reviews::as_json)),
        change("/settings/reviews/sign-off", post(reviews::sign_off)),
        show("/settings/policies", get(policies::policies)),
        change("/settings/policies", post(policies::save)),
        change("/settings/alerts/channels/{name}/test", post(alerts::test)),
    ]
}

/// The pages, and what they are made of.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let pages = pages().into_iter().fold(Router::new(), |router, page| router.route(page.path, page.answer));
    surrounded(app, pages).route("/assets/{file}", get(assets::asset))
}

/// Pages with what surrounds them: headers, error pages, the toast; changes are let through only where
/// one of our own pages asks for them. Also for pages that tests add.
pub fn surrounded(app: &Arc<App>, pages: Router<Arc<App>>) -> Router<Arc<App>> {
    pages
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .layer(middleware::from_fn_with_state(Arc::clone(app), same_origin))
        .layer(middleware::from_fn_with_state(Arc::clone(app), surround))
}

/// Browsers go on to the pages; anything else is told where it is.
async fn front_door(headers: HeaderMap) -> Response {
    if prefers_pages(&headers) {
        Redirect::to(Section::Tokens.path()).into_response()
    } else {
        status::front_door().into_response()
    }
}

/// The documentation of the API, which needs a policy of its own.
pub fn documentation<S: Clone + Send + Sync + 'static>(documentation: Router<S>) -> Router<S> {
    documentation.layer(middleware::map_response(|mut response: Response| async {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, protection::DOCUMENTATION_POLICY);
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }))
}

/// What matches no route: a problem, for a browser on a page.
pub async fn unknown(State(app): State<Arc<App>>, request: Request) -> Response {
    let path = request.uri().path();
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = gateway::nothing_here().into_response();
    if !looks || !prefers_pages(request.headers()) || API.iter().any(|prefix| path.starts_with(prefix)) {
        return response;
    }
    let (visit, id) = (Visit::of(&app, &request), request.extensions().get::<RequestId>().cloned());
    let (mut asked, _) = request.into_parts();
    asked.extensions.insert(visit.clone());
    // Whoever is signed in is told in the frame; anybody else, and with any trouble, without it.
    let _ = SignedIn::from_request_parts(&mut asked, &app).await;
    finish(&app, &visit, id, &mut response);
    response
}

/// Whether the client asks for pages, as browsers do.
fn prefers_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split([',', ';']))
        .any(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
}

/// What is done for every page.
async fn surround(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let visit = Visit::of(&app, &request);
    let id = request.extensions().get::<RequestId>().cloned();
    // What is made once, such as a token, must not be told by the length of the answer.
    let compressible = request.method() == Method::GET && assets::takes_gzip(request.headers());
    request.extensions_mut().insert(visit.clone());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| observe::panicked());
    finish(&app, &visit, id, &mut response);
    if compressible && is_page(&response) { compress(response).await } else { response }
}

/// Makes a page of a problem, or a way to sign in where that is all it takes, adds the headers, and takes the toast away that was shown.
fn finish(app: &App, visit: &Visit, id: Option<RequestId>, response: &mut Response) {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let problem = match &id {
            Some(id) => problem.with_request_id(id.as_str()),
            None => problem,
        };
        if response.status() == StatusCode::UNAUTHORIZED {
            *response = sign_in::on_the_way_to(visit);
        } else {
            error_page::write(visit, problem, response);
        }
    }
    protection::protect(&app.config.server.public_url, response);
    if visit.has_toast() && is_page(response) {
        let gone = cookies::set(app, Toast::COOKIE, "", 0);
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
}

fn is_page(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"))
}

async fn compress(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let html = match to_bytes(body, usize::MAX).await {
        Ok(html) => html,
        Err(error) => return Error::internal(error).into_response(),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Response::from_parts(parts, assets::gzip(&html, Compression::fast()).into())
}
