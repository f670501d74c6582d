//! The command line.

mod admin;
mod audit;
mod demo;
mod nodes;
mod scanner_rule;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokenhouse_core::audit::Head;
use tokenhouse_core::clock::Clock;
use tokenhouse_core::people::Role;
use tokenhouse_core::random::Random;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::master_key;

/// Anything that ends a command.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Self-hosted authority for personal access tokens and service tokens.
#[derive(Debug, Parser)]
#[command(name = "tokenhouse", version, arg_required_else_help = true)]
pub struct Arguments {
    /// Configuration file [default: tokenhouse.toml in this folder, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play the whole life of a token on this machine, then keep serving
    Demo {
        /// End after the story: 0 only if every step was as told
        #[arg(long)]
        exit: bool,
    },
    /// Answer requests until SIGTERM or Ctrl-C
    Serve,
    /// Make accounts directly in the store (not while a server holds an SQLite store)
    #[command(subcommand)]
    Admin(Admin),
    /// Check the audit trail
    #[command(subcommand)]
    Audit(Audit),
    /// List the servers that share a PostgreSQL store: how far each has followed, how long it may answer checks
    Nodes,
    /// Print the pattern of tokens for secret scanners, as gitleaks TOML
    ScannerRule,
}

#[derive(Debug, Subcommand)]
enum Admin {
    /// Make a person and print one JSON object: `user`, `invite_url`, `bearer_token`
    Create(CreateAdmin),
}

#[derive(Debug, Args)]
struct CreateAdmin {
    /// E-mail address, used to sign in
    #[arg(long)]
    email: String,
    /// Display name
    #[arg(long)]
    name: String,
    /// Member, Manager or Admin
    #[arg(long, default_value = "Admin")]
    role: Role,
    /// Also make a personal token of this name
    #[arg(long, value_name = "NAME")]
    token: Option<String>,
    /// Lifetime of that token, 1 to 365 [default: never expires]
    #[arg(long, value_name = "N", requires = "token")]
    expires_in_days: Option<i64>,
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Walk the whole chain: print its head and end with 0, or name the first broken record and end with 1
    Verify {
        /// A head that was kept elsewhere: the chain must contain it
        #[arg(long, value_name = "SEQ:HASH")]
        expect: Option<Head>,
    },
}

/// What every command starts from.
struct Context {
    config: Config,
    master_key: Option<Zeroizing<String>>,
    clock: Clock,
    random: Random,
}

/// How nice (nice(2)) all threads are but those for checks: about a third of the time is theirs when both want it
/// all.
const NICENESS: i32 = 5;

/// Runs a command to its end.
pub fn run(arguments: Arguments) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(step_back)
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(execute(arguments)));
    outcome.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

/// Lets this thread, and those that it starts, step back behind the ones that answer checks, which have a
/// runtime of their own.
fn step_back() {
    // On Linux of this thread alone. Where it isn't allowed everything works, only not as evenly.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

async fn execute(arguments: Arguments) -> Result<ExitCode, Failure> {
    if let Command::ScannerRule = arguments.command {
        return scanner_rule::run();
    }
    let context = Context {
        config: Config::load(arguments.config.as_deref(), std::env::vars_os())?,
        master_key: master_key::variable()?,
        clock: Clock::system(),
        random: Random::system(),
    };
    crate::logging::start(context.config.log)?;
    match arguments.command {
        Command::Demo { exit } => demo::run(context, exit).await,
        Command::Serve => serve::run(context).await,
        Command::Admin(Admin::Create(wanted)) => admin::create(context, wanted).await,
        Command::Nodes => nodes::list(context).await,
        Command::Audit(Audit::Verify { expect }) => audit::verify(context, expect).await,
        Command::ScannerRule => scanner_rule::run(),
    }
}

/// What went wrong, on standard error. Not a line of the log: it is for whoever typed the command.
#[allow(clippy::print_stderr, reason = "the command line talks here")]
fn complain(error: &Failure) {
    eprintln!("tokenhouse: {error}");
    let causes = std::iter::successors(error.source(), |error| error.source());
    for cause in causes {
        eprintln!("  because {cause}");
    }
}

/// A line of output, on standard output. Fails where nobody reads it any more.
fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
