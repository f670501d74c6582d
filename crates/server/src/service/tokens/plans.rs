//! Who rotates a token, or all tokens of a service user, and how long before they expire.

use tokenhouse_core::audit::Action;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::{self, UserType};
use tokenhouse_core::policy::Permission;
use tokenhouse_store::successors::{self, RotationPlan};
use tokenhouse_store::tokens::Token;
use tokenhouse_store::users::{self, User};

use super::find;
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::{Error, Fields};
use crate::service::{Changes, users as accounts};

/// The most characters in the name of who is responsible.
const RESPONSIBLE_LIMIT: usize = 255;

/// The most days before the expiry.
const DAYS_LIMIT: i64 = 365;

/// A plan as it was typed.
#[derive(Clone, Copy, Debug)]
pub struct WantedPlan<'a> {
    /// A person, a team, or a program.
    pub responsible: &'a str,
    /// So many days before the expiry.
    pub days_before: i64,
}

fn check(wanted: Option<WantedPlan<'_>>) -> Result<Option<RotationPlan>, Error> {
    let Some(WantedPlan { responsible, days_before }) = wanted else { return Ok(None) };
    let mut fields = Fields::default();
    let responsible = fields.check("plan.responsible", people::free_text(responsible, RESPONSIBLE_LIMIT));
    if responsible == Some(None) {
        fields.wrong("plan.responsible", "is required: a person, a team, or a program");
    }
    if !(1..=DAYS_LIMIT).contains(&days_before) {
        fields.wrong("plan.days_before", &format!("must be between 1 and {DAYS_LIMIT}"));
    }
    fields.finish()?;
    Ok(responsible.flatten().map(|responsible| RotationPlan { responsible, days_before }))
}

fn noted(before: Option<&RotationPlan>, after: Option<&RotationPlan>) -> Changes {
    let responsible = |plan: Option<&RotationPlan>| plan.map(|plan| plan.responsible.clone());
    let days_before = |plan: Option<&RotationPlan>| plan.map(|plan| plan.days_before);
    Changes::default().note("rotation_responsible", responsible(before), responsible(after)).note(
        "rotation_days_before",
        days_before(before),
        days_before(after),
    )
}

/// Settles who rotates a token and when; `None` is nobody.
pub async fn of_token(
    app: &App,
    call: &Call,
    id: TokenId,
    wanted: Option<WantedPlan<'_>>,
) -> Result<Token, Error> {
    let plan = check(wanted)?;
    let mut writer = app.begin(call).await?;
    let token = find(&mut writer, call, id).await?;
    let changes = noted(token.plan.as_ref(), plan.as_ref());
    if !changes.is_empty() {
        successors::set_plan(&mut writer, id, plan.as_ref()).await?;
        writer.record(call.draft(Action::TokenRotationPlanned, id.0, &token.name, changes.0)).await?;
        app.commit(writer).await?;
    }
    super::one(app, call, id).await
}

/// Settles who rotates the tokens of a service user, where the token itself doesn't say.
pub async fn of_user(
    app: &App,
    call: &Call,
    id: UserId,
    wanted: Option<WantedPlan<'_>>,
) -> Result<User, Error> {
    call.needs(Permission::ManagePeople)?;
    let plan = check(wanted)?;
    let mut writer = app.begin(call).await?;
    let user = accounts::existing(&mut writer, id).await?;
    if user.user_type == UserType::Human {
        return Err(Error::field("plan", "people rotate their own tokens; only a service user has a plan"));
    }
    let changes = noted(user.plan.as_ref(), plan.as_ref());
    if !changes.is_empty() {
        users::set_plan(&mut writer, id, plan.as_ref()).await?;
        writer.record(call.draft(Action::UserUpdated, id.0, &user.name, changes.0)).await?;
        app.commit(writer).await?;
    }
    accounts::one(app, call, id).await
}
