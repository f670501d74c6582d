//! Alerts by e-mail, to a real mail server.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;

use tokenhouse_core::people::Role;
use tokenhouse_testkit::process::{tool, until};

use super::alert_channels::{deliveries, server_with, tell};

/// How a mail server wants connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    None,
    StartTls,
    /// From the start on.
    Whole,
}

/// Who may send mail where that needs a login, and as it is written in an address.
const LOGIN: (&str, &str) = ("me@example.com", "p@ss:w/rd %1");
const LOGIN_IN_URL: &str = "me%40example.com:p%40ss%3Aw%2Frd%20%251@";

/// A server that wants a login: port, folder, how it is encrypted, and the login.
const WITH_LOGIN: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

_, port, folder, encryption, user, password = sys.argv
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(folder + "/certificate.pem", folder + "/key.pem")
known = LoginPassword(user.encode(), password.encode())
mailbox = Mailbox(folder + "/mail")
whole = encryption == "whole"
tls = {"auth_require_tls": False} if whole else {"tls_context": context, "require_starttls": True}

def authenticator(server, session, envelope, mechanism, login):
    return AuthResult(success=login == known, handled=False)

def smtp():
    return SMTP(mailbox, hostname="localhost", authenticator=authenticator, auth_required=True, **tls)

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(smtp, "127.0.0.1", int(port), ssl=context if whole else None)
    await server.serve_forever()

asyncio.run(main())
"#;

#[tokio::test]
async fn mail_has_a_plain_and_an_html_part_and_comes_encrypted() {
    let mail = Mail::start(Encryption::StartTls);
    let server = server_with(&mail.config()).await;
    server.person("Ada", Role::Admin).await;
    server.person("Mia", Role::Member).await;
    tell(&server).await;
    assert_eq!(mail.take().len(), 1);
    let robot = server.service_user("Robot <b>", Role::Admin).await;
    tell(&server).await;
    let got = mail.take();
    let [text] = got.as_slice() else { panic!("{} mails", got.len()) };
    let fields: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once(": ")).collect();
    assert_eq!(fields["X-RcptTo"], "ada@example.com", "{text}");
    assert_eq!(fields["From"], "Tokenhouse <tokenhouse@example.com>");
    assert_eq!(fields["Subject"], "Robot <b> is now an Admin");
    assert!(text.contains("multipart/alternative") && text.contains("text/plain"), "{text}");
    assert!(
        text.contains("text/html") && text.contains("<h1>Robot &#60;b&#62; is now an Admin</h1>"),
        "{text}"
    );
    assert!(text.contains(&format!("/settings/people/users/{}", robot.id)), "{text}");
    // A server whose certificate nobody trusts gets nothing.
    let untrusted =
        mail.config().lines().filter(|line| !line.starts_with("ca =")).collect::<Vec<_>>().join("\n");
    let server = server_with(&untrusted).await;
    let ada = server.person("Ada", Role::Admin).await;
    tell(&server).await;
    assert!(mail.take().is_empty());
    let failed = deliveries(&server, &ada, "?state=pending").await;
    assert!(failed[0]["last_error"].as_str().unwrap().contains("certificate"), "{failed:?}");
}

#[tokio::test]
async fn a_server_without_encryption_gets_no_mail_unless_that_is_wanted() {
    let mail = Mail::start(Encryption::None);
    let server = server_with(&mail.config().replace("tls = \"none\"", "tls = \"required\"")).await;
    let ada = server.person("Ada", Role::Admin).await;
    tell(&server).await;
    assert!(mail.take().is_empty());
    assert_eq!(deliveries(&server, &ada, "?state=pending").await.len(), 1);
}

#[tokio::test]
async fn mail_is_sent_with_a_login_and_over_tls_from_the_start_on() {
    for encryption in [Encryption::StartTls, Encryption::Whole] {
        let mail = Mail::with_login(encryption);
        let server = server_with(&mail.config()).await;
        let ada = server.person("Ada", Role::Admin).await;
        tell(&server).await;
        assert_eq!(mail.take().len(), 1, "{:?}", deliveries(&server, &ada, "").await);
        // Not without the right password, and nobody is told which was tried.
        for (login, code) in [("", "530"), ("me%40example.com:hunter2@", "535")] {
            let server = server_with(&mail.config().replace(LOGIN_IN_URL, login)).await;
            let ada = server.person("Ada", Role::Admin).await;
            tell(&server).await;
            let pending = deliveries(&server, &ada, "?state=pending").await;
            let error = pending[0]["last_error"].as_str().unwrap();
            assert!(error.contains(code) && !error.contains("hunter2"), "{error}");
        }
        assert!(mail.take().is_empty());
    }
}

/// A mail server that keeps what it gets: aiosmtpd.
pub(crate) struct Mail {
    folder: tempfile::TempDir,
    port: u16,
    encryption: Encryption,
    /// What stands in the address before the host.
    login: &'static str,
    process: Mutex<Child>,
}

impl Mail {
    /// One that anybody may send through.
    pub(crate) fn start(encryption: Encryption) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = tool("aiosmtpd");
        command.arg("--nosetuid").arg("--listen").arg(format!("127.0.0.1:{port}"));
        if encryption == Encryption::StartTls {
            certify(folder.path());
            command.arg("--tlscert").arg(folder.path().join("certificate.pem"));
            command.arg("--tlskey").arg(folder.path().join("key.pem"));
        }
        command.args(["--class", "aiosmtpd.handlers.Mailbox"]).arg(folder.path().join("mail"));
        Self::listening(folder, port, encryption, "", command)
    }

    /// One that wants [`LOGIN`].
    fn with_login(encryption: Encryption) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        certify(folder.path());
        let home = std::env::var("HOME").unwrap();
        let mut command = tool(&format!("{home}/.cache/tokenhouse/tools/mail/bin/python"));
        command.args(["-W", "ignore", "-c", WITH_LOGIN, &port.to_string()]).arg(folder.path());
        command.args([if encryption == Encryption::Whole { "whole" } else { "starttls" }, LOGIN.0, LOGIN.1]);
        Self::listening(folder, port, encryption, LOGIN_IN_URL, command)
    }

    fn listening(
        folder: tempfile::TempDir,
        port: u16,
        encryption: Encryption,
        login: &'static str,
        mut command: Command,
    ) -> Self {
        let process = command.spawn().expect("aiosmtpd is installed by `cargo xtask install`");
        until("the mail server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { folder, port, encryption, login, process: Mutex::new(process) }
    }

    pub(crate) fn config(&self) -> String {
        let scheme = if self.encryption == Encryption::Whole { "smtps" } else { "smtp" };
        let common = format!(
            "[alerts.email]\nsmtp = \"{scheme}://{}localhost:{}\"\nfrom = \"Tokenhouse <tokenhouse@example.com>\"\n",
            self.login, self.port
        );
        if self.encryption == Encryption::None {
            return format!("{common}tls = \"none\"\n");
        }
        let ca = self.folder.path().join("certificate.pem");
        format!("{common}tls = \"required\"\nca = '{}'\n", ca.display())
    }

    /// Every mail that has come.
    pub(crate) fn take(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.folder.path().join("mail/new")) else { return Vec::new() };
        let files = files.map(|file| file.unwrap().path());
        files
            .map(|file| {
                let text = std::fs::read_to_string(&file).unwrap();
                std::fs::remove_file(file).unwrap();
                text.replace("=\n", "")
            })
            .collect()
    }

    pub(crate) fn stop(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap();
        // An error only says that it has ended already.
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Puts a certificate for `localhost` and its key into a folder.
fn certify(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}
