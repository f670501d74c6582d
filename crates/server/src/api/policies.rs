//! `/api/policies`

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokenhouse_core::policies as core;
use tokenhouse_core::token::LifetimePolicy;
use utoipa::ToSchema;

use super::body::Json;
use crate::app::App;
use crate::auth::guard::Audits;
use crate::error::{Error, Problem};
use crate::service::Change;
use crate::service::policies::{self, Update};

/// What holds for all tokens, within what the configuration allows.
#[derive(Debug, Serialize, ToSchema)]
pub struct Policies {
    /// How long personal tokens may live.
    personal: Lifetimes,
    /// How long service tokens may live.
    service: Lifetimes,
    /// The lifetime that forms begin with, in days.
    #[schema(example = 90)]
    default_expires_in_days: i64,
    /// Tokens that nobody used for so many days are revoked, 7 days after that was announced; null is never.
    #[schema(required)]
    revoke_unused_after_days: Option<i64>,
    /// Whether a service user must have a purpose and an owner.
    require_purpose_and_owner: bool,
    /// For so many days a revoke can be undone; null is always.
    #[schema(required)]
    restore_within_days: Option<i64>,
    /// Whether a token that was revoked because it leaked can be restored.
    restore_leaked: bool,
}

/// How long tokens may live.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lifetimes {
    /// The longest lifetime in days.
    #[schema(example = 365)]
    max_lifetime_days: i64,
    /// Whether a token may have no expiry.
    allow_never: bool,
}

impl From<LifetimePolicy> for Lifetimes {
    fn from(policy: LifetimePolicy) -> Self {
        Self { max_lifetime_days: policy.max_days, allow_never: policy.allow_never }
    }
}

impl From<core::Policies> for Policies {
    fn from(policies: core::Policies) -> Self {
        Self {
            personal: policies.personal.into(),
            service: policies.service.into(),
            default_expires_in_days: policies.default_expires_in_days,
            revoke_unused_after_days: policies.revoke_unused_after_days,
            require_purpose_and_owner: policies.require_purpose_and_owner,
            restore_within_days: policies.restore_within_days,
            restore_leaked: policies.restore_leaked,
        }
    }
}

/// What is to change; absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePolicies {
    #[serde(default)]
    personal: ChangeLifetimes,
    #[serde(default)]
    service: ChangeLifetimes,
    #[schema(minimum = 1, maximum = 365)]
    default_expires_in_days: Option<i64>,
    /// 14 to 3,650, or null for never.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    revoke_unused_after_days: Change<i64>,
    require_purpose_and_owner: Option<bool>,
    /// 0 to 3,650, or null for always.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    restore_within_days: Change<i64>,
    restore_leaked: Option<bool>,
}

/// What is to change of the lifetimes of one kind; absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeLifetimes {
    /// No more than the configuration allows.
    #[schema(minimum = 1, maximum = 365)]
    max_lifetime_days: Option<i64>,
    /// Not where the configuration forbids it.
    allow_never: Option<bool>,
}

/// What holds for all tokens
#[utoipa::path(get, path = "/api/policies", tag = "Governance", security(("bearer" = [])),
    responses((status = 200, body = Policies), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn read(State(app): State<Arc<App>>, _caller: Audits) -> Result<axum::Json<Policies>, Error> {
    Ok(axum::Json(policies::in_force(&app).into()))
}

/// Settle policies anew; tokens that exist keep their expiry
#[utoipa::path(put, path = "/api/policies", tag = "Governance", security(("bearer" = [])), request_body = ChangePolicies,
    responses((status = 200, body = Policies), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn change(
    State(app): State<Arc<App>>,
    Audits(call): Audits,
    Json(wanted): Json<ChangePolicies>,
) -> Result<axum::Json<Policies>, Error> {
    let update = Update {
        personal_days: wanted.personal.max_lifetime_days,
        personal_never: wanted.personal.allow_never,
        service_days: wanted.service.max_lifetime_days,
        service_never: wanted.service.allow_never,
        default_expires_in_days: wanted.default_expires_in_days,
        revoke_unused_after_days: wanted.revoke_unused_after_days,
        require_purpose_and_owner: wanted.require_purpose_and_owner,
        restore_within_days: wanted.restore_within_days,
        restore_leaked: wanted.restore_leaked,
    };
    Ok(axum::Json(policies::update(&app, &call, update).await?.into()))
}
