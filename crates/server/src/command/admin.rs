//! `tokenhouse admin create`

use std::process::ExitCode;

use serde_json::json;
use tokenhouse_core::people::UserType;
use tokenhouse_core::token::Plaintext;

use super::{Context, CreateAdmin, Failure, say};
use crate::api::users::User;
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;
use crate::service::tokens::FirstToken;
use crate::service::users::{self, Created, Wanted};

/// Makes a person, and a token of theirs if one is wanted.
pub(super) async fn create(context: Context, wanted: CreateAdmin) -> Result<ExitCode, Failure> {
    let Context { mut config, master_key, clock, random } = context;
    // A server may be writing there.
    config.request_log.enabled = false;
    let app = App::open(config, master_key, clock, random).await?;
    let person = Wanted {
        user_type: UserType::Human,
        name: &wanted.name,
        email: Some(&wanted.email),
        role: wanted.role,
        teams: &[],
        purpose: None,
        owner: None,
    };
    let call = Call::command_line();
    let (Created { user, invite_url }, bearer_token) = match &wanted.token {
        None => (users::create(&app, &call, person).await.map_err(in_words)?, None),
        Some(name) => {
            let token =
                FirstToken { name, expires_in_days: wanted.expires_in_days, scim_endpoints_only: false };
            let both = users::create_with_token(&app, &call, person, token).await.map_err(in_words)?;
            (both.0, Some(both.1.bearer_token))
        }
    };
    let shown = bearer_token.as_ref().map(Plaintext::expose);
    say(json!({ "user": User::from(user), "invite_url": invite_url, "bearer_token": shown }))?;
    Ok(ExitCode::SUCCESS)
}

/// Wrong fields are named by the options they came from.
fn in_words(error: Error) -> Failure {
    match error {
        Error::Invalid(fields) => {
            let option = |field: &str| format!("--{}", field.replace('_', "-"));
            let told: Vec<_> =
                fields.iter().map(|wrong| format!("{} {}", option(&wrong.field), wrong.message)).collect();
            told.join("; ").into()
        }
        other => other.into(),
    }
}
