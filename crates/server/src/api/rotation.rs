//! How a token, or the tokens of a service user, are to be rotated, as it is told and settled.

use serde::{Deserialize, Serialize};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_store::successors::RotationPlan;
use tokenhouse_store::tokens::Token;
use utoipa::ToSchema;

use crate::service::Change;
use crate::service::tokens::closing::{WantedClosing, closes_at};
use crate::service::tokens::plans::WantedPlan;

/// What is settled about the rotation of a token.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rotation {
    /// Who rotates it and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    plan: Option<Plan>,
    /// That it is revoked by itself once it is quiet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    close_when_quiet: Option<Closing>,
}

/// That a token is revoked by itself once nobody uses it any more.
#[derive(Debug, Serialize, ToSchema)]
pub struct Closing {
    /// For so many hours.
    hours: i64,
    /// When that is, if it isn't used until then.
    #[schema(value_type = String, format = DateTime)]
    closes_at: Timestamp,
    /// From this instant on reviews name it if it is still used. It stays good.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    deadline: Option<Timestamp>,
}

/// Who rotates tokens, and when.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// A person, a team, or a program.
    #[schema(min_length = 1, max_length = 255, example = "platform team")]
    responsible: String,
    /// So many days before the token expires.
    #[schema(minimum = 1, maximum = 365, example = 14)]
    days_before: i64,
}

/// When a token is to be revoked by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseWhenQuiet {
    /// Once nobody has used it for so many hours, and never before.
    #[schema(minimum = 1, maximum = 2160, example = 24)]
    hours: i64,
    /// In so many days reviews name it if it is still used.
    #[schema(minimum = 1, maximum = 365)]
    deadline_days: Option<i64>,
}

/// What is to be settled; absent stays, null takes it back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRotation {
    #[serde(default)]
    #[schema(value_type = Option<Plan>)]
    pub(super) plan: Change<Plan>,
    /// Only of a token with an active successor.
    #[serde(default)]
    #[schema(value_type = Option<CloseWhenQuiet>)]
    pub(super) close_when_quiet: Change<CloseWhenQuiet>,
}

/// What is to be settled for all tokens of a service user; null takes it back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePlan {
    #[schema(required)]
    pub(super) plan: Option<Plan>,
}

impl Plan {
    pub(super) fn wanted(&self) -> WantedPlan<'_> {
        WantedPlan { responsible: &self.responsible, days_before: self.days_before }
    }
}

impl From<&RotationPlan> for Plan {
    fn from(plan: &RotationPlan) -> Self {
        Self { responsible: plan.responsible.clone(), days_before: plan.days_before }
    }
}

impl From<CloseWhenQuiet> for WantedClosing {
    fn from(wanted: CloseWhenQuiet) -> Self {
        Self { hours: wanted.hours, deadline_days: wanted.deadline_days }
    }
}

impl Rotation {
    /// What is settled of a token, if anything is.
    pub(super) fn of(token: &Token) -> Option<Self> {
        let closing = token.closing.zip(closes_at(token)).filter(|_| token.revoked_at.is_none());
        let close_when_quiet = closing.map(|(closing, closes_at)| Closing {
            hours: closing.after_hours,
            closes_at,
            deadline: closing.deadline,
        });
        let plan = token.plan.as_ref().map(Plan::from);
        (plan.is_some() || close_when_quiet.is_some()).then_some(Self { plan, close_when_quiet })
    }
}
