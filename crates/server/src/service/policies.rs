//! What Admins have settled for all tokens.

use tokenhouse_core::audit::Action;
use tokenhouse_core::people::Invalid;
use tokenhouse_core::policies::{IDLE_DAYS, Policies, RESTORE_DAYS_LIMIT};
use tokenhouse_core::policy::Permission;
use tokenhouse_core::token::LifetimePolicy;
use tokenhouse_store::policies;

use super::{Change, Changes};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::{Error, Fields};

/// What holds: what is settled, within what the configuration allows. In a transaction that has begun, that is what
/// was committed before it, whoever committed it.
pub fn in_force(app: &App) -> Policies {
    app.feed.policies().within(app.config.policy.into())
}

/// What is to change; `None` stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Update {
    /// The longest lifetime of personal tokens, in days.
    pub personal_days: Option<i64>,
    /// Whether personal tokens may have no expiry.
    pub personal_never: Option<bool>,
    /// The longest lifetime of service tokens, in days.
    pub service_days: Option<i64>,
    /// Whether service tokens may have no expiry.
    pub service_never: Option<bool>,
    /// The lifetime that forms begin with, in days.
    pub default_expires_in_days: Option<i64>,
    /// After how many days unused tokens are revoked; never.
    pub revoke_unused_after_days: Change<i64>,
    /// Whether a service user must have a purpose and an owner.
    pub require_purpose_and_owner: Option<bool>,
    /// For how many days a revoke can be undone; always.
    pub restore_within_days: Change<i64>,
    /// Whether a token that leaked can be restored.
    pub restore_leaked: Option<bool>,
}

/// Settles policies anew. Tokens that exist keep their expiry.
pub async fn update(app: &App, call: &Call, update: Update) -> Result<Policies, Error> {
    call.needs(Permission::Audit)?;
    let ceiling = LifetimePolicy::from(app.config.policy);
    let mut writer = app.begin(call).await?;
    let before = in_force(app);
    let mut after = applied(before, update);
    if after.revoke_unused_after_days != before.revoke_unused_after_days {
        after.revoke_unused_settled_at = Some(writer.now());
    }
    check(&after, ceiling)?;
    let changes = Changes::default()
        .note("personal.max_lifetime_days", before.personal.max_days, after.personal.max_days)
        .note("personal.allow_never", before.personal.allow_never, after.personal.allow_never)
        .note("service.max_lifetime_days", before.service.max_days, after.service.max_days)
        .note("service.allow_never", before.service.allow_never, after.service.allow_never)
        .note("default_expires_in_days", before.default_expires_in_days, after.default_expires_in_days)
        .note("revoke_unused_after_days", before.revoke_unused_after_days, after.revoke_unused_after_days)
        .note("require_purpose_and_owner", before.require_purpose_and_owner, after.require_purpose_and_owner)
        .note("restore_within_days", before.restore_within_days, after.restore_within_days)
        .note("restore_leaked", before.restore_leaked, after.restore_leaked);
    if !changes.is_empty() {
        policies::set(&mut writer, &after).await?;
        writer.record(call.draft(Action::PolicyUpdated, 0, "policies", changes.0)).await?;
        app.commit(writer).await?;
    }
    Ok(after)
}

fn applied(before: Policies, update: Update) -> Policies {
    let lifetimes = |before: LifetimePolicy, days: Option<i64>, never: Option<bool>| LifetimePolicy {
        max_days: days.unwrap_or(before.max_days),
        allow_never: never.unwrap_or(before.allow_never),
    };
    Policies {
        personal: lifetimes(before.personal, update.personal_days, update.personal_never),
        service: lifetimes(before.service, update.service_days, update.service_never),
        default_expires_in_days: update.default_expires_in_days.unwrap_or(before.default_expires_in_days),
        revoke_unused_after_days: update.revoke_unused_after_days.of(before.revoke_unused_after_days),
        revoke_unused_settled_at: before.revoke_unused_settled_at,
        require_purpose_and_owner: update
            .require_purpose_and_owner
            .unwrap_or(before.require_purpose_and_owner),
        restore_within_days: update.restore_within_days.of(before.restore_within_days),
        restore_leaked: update.restore_leaked.unwrap_or(before.restore_leaked),
    }
}

fn check(policies: &Policies, ceiling: LifetimePolicy) -> Result<(), Error> {
    let mut fields = Fields::default();
    let mut within = |field: &str, value: Option<i64>, (least, most): (i64, i64)| {
        let is_within = value.is_none_or(|value| (least..=most).contains(&value));
        let invalid = || Invalid(format!("must be between {least} and {most}"));
        fields.check(field, if is_within { Ok(()) } else { Err(invalid()) });
    };
    let days = (1, ceiling.most_days());
    within("personal.max_lifetime_days", Some(policies.personal.max_days), days);
    within("service.max_lifetime_days", Some(policies.service.max_days), days);
    within("default_expires_in_days", Some(policies.default_expires_in_days), (1, 365));
    within("revoke_unused_after_days", policies.revoke_unused_after_days, IDLE_DAYS);
    within("restore_within_days", policies.restore_within_days, (0, RESTORE_DAYS_LIMIT));
    for (field, lifetimes) in
        [("personal.allow_never", policies.personal), ("service.allow_never", policies.service)]
    {
        if lifetimes.allow_never && !ceiling.allow_never {
            fields.wrong(field, "the configuration of the server forbids tokens without an end");
        }
    }
    fields.finish()
}
