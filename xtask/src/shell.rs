//! Runs commands at the root of the workspace and shows each one first, as a person would type it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// A command didn't do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShellError {
    /// There is no place for the cache.
    #[error(
        "HOME is not set, so there is no folder for what is built and installed; set it and run this again"
    )]
    NoHome,
    /// The shell itself is missing.
    #[error("`sh` could not be started: {0}")]
    NotStarted(std::io::Error),
    /// The command ran and failed.
    #[error("failed ({status}): {line}")]
    Failed {
        /// The command.
        line: String,
        /// How it ended.
        status: ExitStatus,
    },
}

/// Where and with which variables commands run.
pub(crate) struct Shell {
    /// Where tools are installed that come from crates.io.
    pub(crate) tools: PathBuf,
    target: PathBuf,
    path: String,
}

impl Shell {
    /// Builds go to `CARGO_TARGET_DIR`, or to the cache folder where that isn't set.
    pub(crate) fn new() -> Result<Self, ShellError> {
        let cache = env::home_dir().ok_or(ShellError::NoHome)?.join(".cache/tokenhouse");
        let tools = cache.join("tools");
        // Daemons live in /usr/sbin, which Debian leaves out of the path of ordinary users.
        let path = format!("{}/bin:{}:/usr/sbin", tools.display(), env::var("PATH").unwrap_or_default());
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| cache.join("target"), PathBuf::from);
        Ok(Self { tools, target, path })
    }

    /// The folders that are searched for programs.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        env::split_paths(&self.path).collect()
    }

    /// Shows and runs a command.
    pub(crate) fn run(&self, line: &str) -> Result<(), ShellError> {
        println!("\n$ {line}");
        let status = self.command(line).status().map_err(ShellError::NotStarted)?;
        if status.success() { Ok(()) } else { Err(ShellError::Failed { line: line.to_owned(), status }) }
    }

    /// Whether a command succeeds, without showing anything.
    pub(crate) fn succeeds(&self, line: &str) -> bool {
        let mut command = self.command(line);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        command.env("CARGO_TARGET_DIR", &self.target).env("PATH", &self.path);
        // What `cargo run` says about this very program would make cargo build some crates anew.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&*name);
            }
        }
        command
    }
}
