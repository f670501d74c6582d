//! `/api/leaks`: tokens that somebody found where they don't belong

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, Request, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokenhouse_core::audit::hex;
use utoipa::ToSchema;

use super::body::{self, Json};
use crate::app::App;
use crate::auth::guard::Origin;
use crate::error::{Error, Problem};
use crate::service::leaks::{self, Find};

/// The most tokens of one report.
const MOST: usize = 100;

/// Found tokens: either `token` or `tokens`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeakReport {
    /// What was found.
    #[serde(default)]
    #[schema(nullable = false, example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRoMSJ9.…")]
    token: Option<String>,
    /// Several of them.
    #[serde(default)]
    #[schema(nullable = false, min_items = 1, max_items = 100)]
    tokens: Option<Vec<String>>,
    /// Who found it, or in what; goes into the audit trail.
    #[serde(default)]
    #[schema(nullable = false, example = "gitleaks in CI")]
    source: Option<String>,
    /// Where it is; goes into the audit trail.
    #[serde(default)]
    #[schema(nullable = false, example = "https://git.example.com/app/blob/main/.env#L3")]
    url: Option<String>,
}

impl LeakReport {
    fn texts(&self) -> Result<Vec<&str>, Error> {
        let texts: Vec<&str> = match (&self.token, &self.tokens) {
            (Some(token), None) => vec![token],
            (None, Some(tokens)) => tokens.iter().map(String::as_str).collect(),
            _ => return Err(Error::field("token", "must be there, or else `tokens`")),
        };
        if texts.is_empty() || texts.len() > MOST {
            return Err(Error::field("tokens", format!("must be 1 to {MOST}")));
        }
        Ok(texts)
    }
}

/// The answer to a report, whatever was in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Received {
    /// How many tokens were sent.
    #[schema(example = 1)]
    received: usize,
}

/// Tell that tokens were found where they don't belong
///
/// Anyone may. Whatever is a token of ours is revoked with everything that was made with it before the answer, which is
/// the same for everything else.
#[utoipa::path(post, path = "/api/leaks", tag = "Leaks", request_body = LeakReport,
    responses((status = 202, body = Received), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn report(
    State(app): State<Arc<App>>,
    origin: Origin,
    Json(report): Json<LeakReport>,
) -> Result<(StatusCode, axum::Json<Received>), Error> {
    app.limits.leak_report(origin.ip)?;
    let (source, url) = (report.source.as_deref(), report.url.as_deref());
    let finds: Vec<_> = report.texts()?.into_iter().map(|text| Find { text, source, url }).collect();
    leaks::found(&app, &finds, origin).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(Received { received: finds.len() })))
}

/// What GitHub has found.
#[derive(Deserialize, ToSchema)]
pub struct GithubMatch {
    /// What was found.
    token: String,
    /// What GitHub calls tokens of this form.
    #[serde(rename = "type")]
    kind: String,
    /// Where it is, if that is public.
    #[serde(default)]
    url: Option<String>,
    /// In what it is: `content`, `commit`, `issue_body` and so on.
    #[serde(default)]
    source: Option<String>,
}

/// Whether it was one.
#[derive(Debug, Serialize, ToSchema)]
pub struct GithubFeedback {
    /// SHA-256 of what was found, in hexadecimal.
    token_hash: String,
    /// What GitHub calls tokens of this form.
    token_type: String,
    /// `true_positive` or `false_positive`.
    #[schema(pattern = "^(true|false)_positive$")]
    label: &'static str,
}

/// Take what GitHub's secret scanning has found
///
/// In the form for partners of GitHub, signed with one of its keys over the bytes of the body. 404 unless
/// `leaks.github.enabled`.
#[utoipa::path(post, path = "/api/leaks/github", tag = "Leaks", request_body = Vec<GithubMatch>,
    params(
        ("Github-Public-Key-Identifier" = Option<String>, Header, description = "Which key it was signed with"),
        ("Github-Public-Key-Signature" = Option<String>, Header, description = "ECDSA over P-256 and SHA-256, in DER and base64"),
    ),
    responses((status = 200, body = Vec<GithubFeedback>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn from_github(
    State(app): State<Arc<App>>,
    origin: Origin,
    request: Request<Body>,
) -> Result<axum::Json<Vec<GithubFeedback>>, Error> {
    let keys = app.github_keys.as_ref().ok_or_else(|| {
        Error::NotFound("GitHub's reports are not taken here: `leaks.github.enabled` is false".into())
    })?;
    let signature = signature(request.headers());
    let body = body::read(request, body::JSON).await?;
    let is_signed = match &signature {
        Some((key, signature)) => keys.have_signed(key, &body, signature, app.clock.now()).await,
        None => Ok(false),
    };
    if !matches!(is_signed, Ok(true)) {
        app.limits.leak_report(origin.ip)?;
    }
    if !is_signed? {
        return Err(Error::Forbidden("this is not signed with a key of GitHub’s".into()));
    }
    let matches: Vec<GithubMatch> = serde_json::from_slice(&body).map_err(|error| body::not_json(&error))?;
    let sources: Vec<_> = matches.iter().map(GithubMatch::source).collect();
    let find = |(found, source)| {
        let GithubMatch { token, url, .. }: &GithubMatch = found;
        let source: &String = source;
        Find { text: token, source: Some(source), url: url.as_deref() }
    };
    let finds: Vec<_> = matches.iter().zip(&sources).map(find).collect();
    let are_ours = leaks::found(&app, &finds, origin).await?;
    let feedback = |(found, is_ours): (&GithubMatch, bool)| GithubFeedback {
        token_hash: hex(&Sha256::digest(&found.token)),
        token_type: found.kind.clone(),
        label: if is_ours { "true_positive" } else { "false_positive" },
    };
    Ok(axum::Json(matches.iter().zip(are_ours).map(feedback).collect()))
}

impl GithubMatch {
    fn source(&self) -> String {
        match &self.source {
            Some(source) => format!("GitHub, {source}"),
            None => "GitHub".to_owned(),
        }
    }
}

/// The name of a key and a signature, if there are such.
fn signature(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let text = |name| headers.get(name)?.to_str().ok();
    let signature = BASE64_STANDARD.decode(text("github-public-key-signature")?).ok()?;
    Some((text("github-public-key-identifier")?.to_owned(), signature))
}
