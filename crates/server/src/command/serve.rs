//! `tokenhouse serve`

use std::process::ExitCode;

use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Context, Failure, say, step_back};
use crate::app::App;
use crate::fleet::Fleet;
use crate::run::Bound;
use crate::service::passwords;

/// Answers until it is asked to stop.
pub(super) async fn run(context: Context) -> Result<ExitCode, Failure> {
    let front = Runtime::new()?;
    step_back();
    let outcome = serve(context, front.handle()).await;
    // What still runs there are upgraded connections, which have no end of their own.
    front.shutdown_background();
    outcome
}

async fn serve(context: Context, front: &Handle) -> Result<ExitCode, Failure> {
    let Context { config, master_key, clock, random } = context;
    let app = App::open(config, master_key, clock, random).await?;
    app.join().await?;
    let shutdown = stop_on_signal()?;
    let bound = front.spawn(Bound::bind(app.clone())).await.map_err(std::io::Error::from)??;
    let address = bound.address()?;
    if let Some(link) = passwords::offer_setup(&app).await? {
        // Not through the log, which others may read.
        say(format_args!("Nobody can sign in yet. Make the first Admin here, once:\n\n  {link}\n"))?;
    }
    let public_url = &app.config.server.public_url;
    let metrics = bound.metrics_address().map(tracing::field::display);
    tracing::info!(%address, metrics, public_url, tokens = app.feed.index().len(), "listening");
    bound.serve(shutdown).await;
    tracing::info!("stopped");
    if app.fleet.as_ref().is_some_and(Fleet::is_lost) {
        return Err(tokenhouse_store::Error::HistoryLost.into());
    }
    Ok(ExitCode::SUCCESS)
}

/// Cancelled by SIGTERM or SIGINT.
pub(super) fn stop_on_signal() -> Result<CancellationToken, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    let stopped = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopped.cancel();
    });
    Ok(shutdown)
}
