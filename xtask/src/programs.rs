//! The programs that tests and benchmarks need: finds out which are missing and installs them where it may.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::shell::{Shell, ShellError};

/// A program and the Debian packages it comes in.
pub(crate) struct Program {
    name: &'static str,
    packages: &'static str,
}

/// What the tests need.
const FOR_TESTS: &[Program] = &[
    Program { name: "cc", packages: "gcc libc6-dev" },
    Program { name: "curl", packages: "curl" },
    Program { name: "setpriv", packages: "util-linux" },
    Program { name: "strace", packages: "strace" },
    Program { name: "initdb", packages: "postgresql" },
    Program { name: "nginx", packages: "nginx" },
    Program { name: "caddy", packages: "caddy" },
    Program { name: "haproxy", packages: "haproxy" },
    Program { name: "faketime", packages: "faketime" },
    Program { name: "python3", packages: "python3 python3-venv" },
    Program { name: "node", packages: "nodejs" },
    Program { name: "npm", packages: "npm" },
    Program { name: "chromium-headless-shell", packages: "chromium-headless-shell" },
];

/// Programs in an environment of Python, whose versions and hashes are in the list with its name.
struct FromPyPi {
    name: &'static str,
    programs: &'static [&'static str],
}

/// What the tests need from there.
const FROM_PYPI: &[FromPyPi] = &[
    FromPyPi { name: "mail", programs: &["aiosmtpd"] },
    FromPyPi { name: "ocsf", programs: &[] },
    FromPyPi { name: "scim", programs: &["scim"] },
    FromPyPi { name: "requests", programs: &["duckdb", "moto_server"] },
    FromPyPi { name: "leaks", programs: &["gitleaks"] },
];

/// What the benchmarks need.
pub(crate) const FOR_BENCHMARKS: &[Program] = &[
    Program { name: "cc", packages: "gcc libc6-dev" },
    Program { name: "taskset", packages: "util-linux" },
    Program { name: "setpriv", packages: "util-linux" },
    Program { name: "initdb", packages: "postgresql" },
    Program { name: "nginx", packages: "nginx" },
    Program { name: "wrk", packages: "wrk" },
    Program { name: "h2load", packages: "nghttp2-client" },
];

/// What the test of a fleet needs.
pub(crate) const FOR_CHAOS: &[Program] = &[
    Program { name: "cc", packages: "gcc libc6-dev" },
    Program { name: "setpriv", packages: "util-linux" },
    Program { name: "initdb", packages: "postgresql" },
];

/// PostgreSQL's own programs are not on the path; there is a folder for each version.
const POSTGRESQL_VERSIONS: &str = "/usr/lib/postgresql";

const CARGO_DENY_VERSION: &str = "0.20.2";

/// Programs are missing and can't be installed from here.
#[derive(Debug, thiserror::Error)]
#[error(
    "There are programs that this needs and that are missing here: {}.\n\
     Install them and run this again. On Debian and its kin:\n\n    \
     sudo apt-get install --no-install-recommends {packages}\n\n\
     (With apt-get and root, or sudo without a password, this happens by itself.)",
    names.join(", ")
)]
pub(crate) struct Missing {
    names: Vec<&'static str>,
    packages: String,
}

impl Missing {
    fn in_folders(programs: &[Program], folders: &[PathBuf]) -> Option<Self> {
        let (names, packages): (Vec<_>, Vec<_>) = programs
            .iter()
            .filter(|program| !is_in(folders, program.name))
            .map(|program| (program.name, program.packages))
            .unzip();
        (!names.is_empty()).then(|| Self { names, packages: packages.join(" ") })
    }
}

/// Installs what is missing for the tests.
pub(crate) fn install(shell: &Shell) -> Result<(), Failure> {
    install_programs(shell, FOR_TESTS)?;
    install_components(shell)?;
    install_cargo_deny(shell)?;
    FROM_PYPI.iter().try_for_each(|environment| install_from_pypi(shell, environment))?;
    Ok(())
}

/// Installs those of the programs that are missing.
pub(crate) fn install_programs(shell: &Shell, programs: &[Program]) -> Result<(), Failure> {
    let Some(missing) = Missing::in_folders(programs, &program_folders(shell)) else { return Ok(()) };
    let Some(root) = become_root(shell) else { return Err(missing.into()) };
    println!("Missing: {}. Installing: {}.", missing.names.join(", "), missing.packages);
    shell.run(&format!("{root}sh xtask/src/install.sh {}", missing.packages))?;
    // A package may have been installed without the program that was expected in it.
    Missing::in_folders(programs, &program_folders(shell)).map_or(Ok(()), |missing| Err(missing.into()))
}

fn program_folders(shell: &Shell) -> Vec<PathBuf> {
    let versions = fs::read_dir(POSTGRESQL_VERSIONS).into_iter().flatten().flatten();
    shell.folders().into_iter().chain(versions.map(|version| version.path().join("bin"))).collect()
}

fn is_in(folders: &[PathBuf], program: &str) -> bool {
    folders.iter().any(|folder| is_executable(&folder.join(program)))
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// What to put before a command so that it runs as root; `None` where packages can't be installed.
fn become_root(shell: &Shell) -> Option<&'static str> {
    if !is_in(&shell.folders(), "apt-get") {
        None
    } else if fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0) {
        Some("")
    } else {
        shell.succeeds("sudo -n true").then_some("sudo -n ")
    }
}

/// Minimal toolchains come without the formatter and the linter.
fn install_components(shell: &Shell) -> Result<(), ShellError> {
    if shell.succeeds("cargo fmt --version && cargo clippy --version") {
        return Ok(());
    }
    shell.run("rustup component add rustfmt clippy")
}

/// Built without optimizations, because that saves minutes here and costs a second when it runs.
fn install_cargo_deny(shell: &Shell) -> Result<(), ShellError> {
    if shell.succeeds(&format!("test \"$(cargo-deny --version)\" = 'cargo-deny {CARGO_DENY_VERSION}'")) {
        return Ok(());
    }
    shell.run(&format!(
        "CARGO_PROFILE_DEV_DEBUG=false cargo install cargo-deny --locked --debug \
         --version {CARGO_DENY_VERSION} --root '{}'",
        shell.tools.display()
    ))
}

/// In an environment of their own, anew when the list of what belongs into it has changed.
fn install_from_pypi(shell: &Shell, FromPyPi { name, programs }: &FromPyPi) -> Result<(), ShellError> {
    let (list, tools) = (format!("xtask/src/python/{name}.txt"), shell.tools.display());
    let place = format!("{tools}/{name}");
    if shell.succeeds(&format!("cmp '{list}' '{place}/installed.txt'")) {
        return Ok(());
    }
    shell.run(&format!(
        "python3 -m venv --clear '{place}' && mkdir -p '{tools}/bin' && \
         '{place}/bin/pip' install --quiet --disable-pip-version-check --require-hashes --requirement '{list}'"
    ))?;
    for program in *programs {
        shell.run(&format!("ln -sf '../{name}/bin/{program}' '{tools}/bin/{program}'"))?;
    }
    shell.run(&format!("cp '{list}' '{place}/installed.txt'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install_into(folder: &Path, program: &str, mode: u32) {
        let file = folder.join(program);
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_missing_is_told_with_the_packages_to_install() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "curl",
            "setpriv",
            "strace",
            "initdb",
            "caddy",
            "haproxy",
            "faketime",
            "python3",
            "node",
            "npm",
            "chromium-headless-shell",
        ] {
            install_into(folder.path(), name, 0o755);
        }
        // A file that can't be run is not a program.
        install_into(folder.path(), "nginx", 0o644);
        let told = Missing::in_folders(FOR_TESTS, &[folder.path().to_owned()]).unwrap().to_string();
        assert!(told.contains("missing here: cc, nginx.\n"), "{told}");
        assert!(told.contains("apt-get install --no-install-recommends gcc libc6-dev nginx\n"), "{told}");
    }

    #[test]
    fn nothing_is_missing_where_all_programs_are() {
        let folder = tempfile::tempdir().unwrap();
        for program in FOR_TESTS {
            install_into(folder.path(), program.name, 0o755);
        }
        assert!(Missing::in_folders(FOR_TESTS, &[folder.path().to_owned()]).is_none());
    }
}
