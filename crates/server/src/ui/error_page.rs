//! An error as a page: what happened, what to do next, and the number of the request.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::page::{Page, Rendered, Section, Viewer, Visit};
use super::text;
use crate::error::{FieldError, Problem};

/// For somebody who is signed in.
#[derive(Template)]
#[template(path = "error.html")]
struct Framed {
    page: Page,
    told: Told,
}

/// For anybody else.
#[derive(Template)]
#[template(path = "error_bare.html")]
struct Bare {
    page: Page,
    told: Told,
}

/// What both say.
struct Told {
    status: u16,
    icon: &'static str,
    tone: &'static str,
    heading: &'static str,
    detail: String,
    next: &'static str,
    errors: Vec<FieldError>,
    request_id: String,
    way_on: (&'static str, &'static str),
}

/// Puts the page of `problem` into `response`, whose status and other headers stay.
pub(super) fn write(visit: &Visit, problem: Problem, response: &mut Response) {
    let status = response.status();
    let told = Told::of(status, problem, visit.viewer());
    let page = visit.bare(told.heading);
    let rendered = match visit.viewer() {
        Some(_) => Rendered(Framed { page, told }).into_response(),
        None => Rendered(Bare { page, told }).into_response(),
    };
    let (parts, body) = rendered.into_parts();
    *response.body_mut() = body;
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(parts.headers);
}

impl Told {
    fn of(status: StatusCode, problem: Problem, viewer: Option<&Viewer>) -> Self {
        let (icon, tone, heading, next) = words(status);
        let way_on = match (viewer, status) {
            (Some(_), _) => ("Back to your tokens", Section::Tokens.path()),
            (None, _) => ("Sign in", "/login"),
        };
        Self {
            status: status.as_u16(),
            icon,
            tone,
            heading,
            detail: text::sentence(&problem.detail),
            next,
            errors: problem.errors,
            request_id: problem.request_id.unwrap_or_default(),
            way_on,
        }
    }
}

/// Icon, tone, heading and what to do next.
fn words(status: StatusCode) -> (&'static str, &'static str, &'static str, &'static str) {
    match status {
        StatusCode::BAD_REQUEST => (
            "alert",
            "orange",
            "That request can’t be understood",
            "Go back, and try it again from the page it came from.",
        ),
        StatusCode::UNAUTHORIZED => ("user", "accent", "Sign in first", "You come back here afterwards."),
        StatusCode::FORBIDDEN => (
            "shield",
            "accent",
            "This isn’t yours to do",
            "If you need it, ask an Admin for the role; it takes effect at once.",
        ),
        StatusCode::NOT_FOUND => (
            "search",
            "accent",
            "There is nothing here",
            "The address may be mistyped, or what was here has been deleted or belongs to somebody else.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "ban",
            "accent",
            "This address doesn’t work that way",
            "Open the page it belongs to, and start from there.",
        ),
        StatusCode::CONFLICT => (
            "alert",
            "orange",
            "Something stands in the way",
            "Go back, look at it again, and change what is named above.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => {
            ("alert", "orange", "That was too much at once", "Go back and send less.")
        }
        StatusCode::UNPROCESSABLE_ENTITY => (
            "alert",
            "orange",
            "Some fields are wrong",
            "Go back and correct them; nothing has been changed.",
        ),
        StatusCode::TOO_MANY_REQUESTS => {
            ("clock", "orange", "Too many attempts", "Wait a moment before the next one.")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            ("alert", "orange", "Not available at this moment", "Try again in a few seconds.")
        }
        _ => (
            "alert",
            "red",
            "An error on our side",
            "It is not your fault. Try again, and tell whoever runs this server if it stays like that.",
        ),
    }
}
