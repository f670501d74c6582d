//! `tokenhouse demo`: a throw-away authority in front of a small upstream, and the life of a token
//! played through it over real HTTP.

mod client;
mod story;
mod upstream;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::policy::Caller;
use tokenhouse_store::users::User;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::client::Client;
use super::serve::stop_on_signal;
use super::{Context, Failure, say};
use crate::app::App;
use crate::auth::guard::Call;
use crate::config::{Config, StoreUrl};
use crate::run::Bound;
use crate::service::{tokens, users};

/// Who takes part.
struct Cast {
    /// An Admin.
    ada: Player,
    /// A Manager, with a second token to restore the first one with.
    max: Player,
    max_laptop: String,
    /// A Member.
    mia: Player,
    /// A service user, without a token yet.
    pipeline: User,
    /// People to look at it as, each with a one-time link.
    viewers: Vec<(User, String)>,
}

/// A person with a token.
struct Player {
    user: User,
    bearer: String,
}

/// Sets the stage, plays, and keeps serving unless told to end.
pub(super) async fn run(context: Context, exit: bool) -> Result<ExitCode, Failure> {
    let shutdown = stop_on_signal()?;
    let folder = tempfile::tempdir()?;
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let listener = front_door().await?;
    let address = listener.local_addr()?;
    let app = open(context, folder.path(), address, upstream.local_addr()?).await?;
    let cast = invite(&app).await?;
    let upstream = tokio::spawn(upstream::serve(upstream, shutdown.clone()));
    let serving = tokio::spawn(Bound::on(Arc::clone(&app), listener)?.serve(shutdown.clone()));
    introduce(&cast, address)?;
    let as_told = story::play(&Client::new(address), &cast).await?;
    end(exit, address, &shutdown).await?;
    serving.await?;
    upstream.await?;
    Ok(if as_told { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The usual port, or any other if somebody has it.
async fn front_door() -> Result<TcpListener, Failure> {
    match TcpListener::bind("127.0.0.1:8080").await {
        Ok(listener) => Ok(listener),
        Err(_) => Ok(TcpListener::bind("127.0.0.1:0").await?),
    }
}

async fn open(
    context: Context,
    folder: &std::path::Path,
    address: SocketAddr,
    upstream: SocketAddr,
) -> Result<Arc<App>, Failure> {
    let mut config = Config { log: context.config.log, ..Config::default() };
    config.store.url = StoreUrl(format!("sqlite://{}/tokenhouse.db", folder.display()));
    config.server.public_url = format!("http://{address}");
    config.gateway.upstream = Some(format!("http://{upstream}").parse()?);
    Ok(App::open(config, None, context.clock, context.random).await?)
}

async fn invite(app: &App) -> Result<Cast, Failure> {
    let (ada, ada_link) = person(app, "Ada Admin", "ada@example.com", Role::Admin).await?;
    let (max, _) = person(app, "Max Manager", "max@example.com", Role::Manager).await?;
    // Max does not outlive the story.
    let (mona, mona_link) = person(app, "Mona Manager", "mona@example.com", Role::Manager).await?;
    let (mia, mia_link) = person(app, "Mia Member", "mia@example.com", Role::Member).await?;
    let viewers = vec![(ada.clone(), ada_link), (mona, mona_link), (mia.clone(), mia_link)];
    let max_laptop = token(app, &max, "laptop").await?;
    let wanted = users::Wanted {
        user_type: UserType::Service,
        name: "Pipeline Automation",
        email: None,
        role: Role::Manager,
        teams: &[],
        purpose: Some("Loads the warehouse every night"),
        owner: Some("Ada Admin"),
    };
    let pipeline = users::create(app, &Call::command_line(), wanted).await?.user;
    Ok(Cast {
        ada: Player { bearer: token(app, &ada, "ada").await?, user: ada },
        max: Player { bearer: token(app, &max, "ci").await?, user: max },
        mia: Player { bearer: token(app, &mia, "notebook").await?, user: mia },
        max_laptop,
        pipeline,
        viewers,
    })
}

/// A new person, with a one-time link to choose a password, which signs them in.
async fn person(app: &App, name: &str, email: &str, role: Role) -> Result<(User, String), Failure> {
    let wanted = users::Wanted {
        user_type: UserType::Human,
        name,
        email: Some(email),
        role,
        teams: &[],
        purpose: None,
        owner: None,
    };
    let created = users::create(app, &Call::command_line(), wanted).await?;
    Ok((created.user, created.invite_url.ok_or("a person without an invitation")?))
}

async fn token(app: &App, user: &User, name: &str) -> Result<String, Failure> {
    let line = Call::command_line();
    let call = Call { caller: Caller { id: user.id, ..line.caller }, ..line };
    let wanted =
        tokens::Wanted { name, expires_in_days: Some(30), scim_endpoints_only: false, user_id: None };
    Ok(tokens::generate(app, &call, wanted).await?.bearer_token.expose().to_owned())
}

fn introduce(cast: &Cast, address: SocketAddr) -> Result<(), Failure> {
    say(format_args!("Tokenhouse is at http://{address}, with a sample upstream behind it.\n"))?;
    for user in [&cast.ada.user, &cast.max.user, &cast.mia.user, &cast.pipeline] {
        say(format_args!("  {:<22} {:<8} {:<8} {}", user.name, user.role, user.user_type, user.user_id))?;
    }
    say("\nTo look at in a browser. Each link opens once: choose a password, then you are in as\n")?;
    for (user, link) in &cast.viewers {
        say(format_args!("  {:<22} {:<8} {link}", user.name, user.role))?;
    }
    say("\nTo paste (through the gateway as a Member; the own API as an Admin):\n")?;
    say(format_args!(
        "  curl -i http://{address}/api/datastores -H 'Authorization: Bearer {}'\n",
        cast.mia.bearer
    ))?;
    say(format_args!("  curl -i http://{address}/api/users -H 'Authorization: Bearer {}'\n", cast.ada.bearer))
}

/// Waits for Ctrl-C, or ends at once.
async fn end(exit: bool, address: SocketAddr, shutdown: &CancellationToken) -> Result<(), Failure> {
    if exit {
        shutdown.cancel();
    } else {
        say(format_args!("\nStill serving at http://{address}; Ctrl-C ends it and leaves nothing behind."))?;
    }
    shutdown.cancelled().await;
    Ok(())
}
