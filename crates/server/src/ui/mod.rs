//! The web UI: pages, and what their forms ask for.

pub mod account;
pub mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use http::Method;

use crate::app::App;
use crate::auth::origin::same_origin;

/// A page, or what one of its forms asks for.
#[derive(Debug)]
pub struct Page {
    /// How it is asked for.
    pub method: Method,
    /// Where it is.
    pub path: &'static str,
    /// What answers it.
    answer: MethodRouter<Arc<App>>,
}

/// Every page, by who may see it.
pub fn pages() -> Vec<Page> {
    let show = |path, answer| Page { method: Method::GET, path, answer };
    let change = |path, answer| Page { method: Method::POST, path, answer };
    vec![
        // Anyone.
        change("/login", post(sign_in::log_in)),
        change("/logout", post(sign_in::log_out)),
        // Whoever has a one-time link.
        show("/setup/{code}", get(sign_in::setup_page)),
        change("/setup/{code}", post(sign_in::set_up)),
        show("/invite/{code}", get(sign_in::invitation_page)),
        change("/invite/{code}", post(sign_in::accept_invitation)),
        // Whoever is signed in.
        change("/logout-everywhere", post(account::log_out_everywhere)),
        change("/account/password", post(account::change_password)),
        change("/account/sessions/{id}/end", post(account::end_session)),
    ]
}

/// All pages. Changes are let through only where one of our own pages asks for them.
pub fn router(app: &Arc<App>) -> Router<Arc<App>> {
    let pages = pages().into_iter().fold(Router::new(), |router, page| router.route(page.path, page.answer));
    pages.layer(from_fn_with_state(Arc::clone(app), same_origin))
}
