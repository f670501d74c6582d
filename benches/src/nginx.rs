//! nginx, as a yardstick and as what people put in front of an API today.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::Failure;
use crate::server::{Server, free_address, listens};

/// The configuration that users copy.
const EXAMPLE: &str = include_str!("../../docs/nginx.conf.example");

/// What stands around each configuration. One process, which is its own only worker, so that its CPU time
/// is all there is. Connections last: nginx would close them after 1,000 requests, which costs it.
const MAIN: &str = "
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}
";

/// Answers every request with an empty 200. The folder must be empty.
pub fn empty(folder: &Path, core: Option<usize>) -> Result<Server, Failure> {
    let address = free_address()?;
    start(folder, &format!("server {{ listen {address}; location / {{ return 200; }} }}"), address, core)
}

/// Asks `tokenhouse` about every request and passes good ones on to `upstream`, over connections that are
/// kept. The folder must be empty.
pub fn asking(
    folder: &Path,
    tokenhouse: SocketAddr,
    upstream: SocketAddr,
    core: Option<usize>,
) -> Result<Server, Failure> {
    let address = free_address()?;
    let mut site = EXAMPLE.to_owned();
    for (from, to) in [
        ("listen 80;", format!("listen {address};")),
        ("127.0.0.1:8080", tokenhouse.to_string()),
        ("127.0.0.1:9000", upstream.to_string()),
        ("keepalive 32;", "keepalive 64; keepalive_requests 1000000000;".to_owned()),
    ] {
        if !site.contains(from) {
            return Err(format!("docs/nginx.conf.example doesn't say `{from}` any more").into());
        }
        site = site.replace(from, &to);
    }
    start(folder, &site, address, core)
}

fn start(folder: &Path, site: &str, address: SocketAddr, core: Option<usize>) -> Result<Server, Failure> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("nginx.conf"), MAIN)?;
    fs::write(folder.join("site.conf"), site)?;
    let [prefix, config, log] = ["-p", "-c", "-e"].map(OsStr::new);
    let arguments = [prefix, folder.as_os_str(), config, "nginx.conf".as_ref(), log, "stderr".as_ref()];
    // Debian leaves its folder out of the path of ordinary users.
    let program = Path::new("/usr/sbin/nginx");
    let program = if program.exists() { program } else { Path::new("nginx") };
    Server::start(program, &arguments, address, core, listens)
}
