//! `tokenhouse audit verify`

use std::process::ExitCode;

use tokenhouse_core::audit::Head;
use tokenhouse_store::{Store, audit};

use super::{Context, Failure, say};
use crate::app::StartError;
use crate::master_key;

/// Walks the whole chain.
pub(super) async fn verify(context: Context, expect: Option<Head>) -> Result<ExitCode, Failure> {
    let Context { config, master_key, clock, random } = context;
    let url = &config.store.url.0;
    if !Store::exists(url).await? {
        return Err("there is no store yet: nothing to verify (is this the right configuration?)".into());
    }
    let master = master_key::find(&config, master_key, true, &random).map_err(StartError::from)?;
    let store = Store::open(url, &master, clock.now()).await?;
    match audit::verify(&store, expect).await? {
        Ok(head) => {
            say(head)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(broken) => {
            say(format_args!("broken: {broken}"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}
