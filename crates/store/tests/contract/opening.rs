//! Opening: whose store it is, who holds it, how old it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sqlx::AssertSqlSafe;
use tokenhouse_core::audit::Action;
use tokenhouse_core::clock::Clock;
use tokenhouse_core::id::UserId;
use tokenhouse_core::keys::MasterKey;
use tokenhouse_core::password::PasswordHash;
use tokenhouse_core::random::Random;
use tokenhouse_store::sessions::NewSession;
use tokenhouse_store::teams::PUBLIC;
use tokenhouse_store::{Error, Store, audit, passwords, sessions, teams, tokens, users};
use tokenhouse_testkit::postgres;

use crate::setting::{NOW, Setting, draft, master, name, on_both, open};

on_both!(
    a_store_is_there_again_after_it_was_closed,
    a_wrong_master_key_is_refused_and_nothing_changed,
    a_newer_schema_is_refused,
    a_schema_that_was_meddled_with_is_refused,
    a_lost_head_is_told,
);

async fn a_store_is_there_again_after_it_was_closed(mut s: Setting) {
    let ada = s.human("ada").await;
    let head = audit::head(&mut *s.read().await).await.unwrap();
    s.store.clone().close().await;
    assert!(matches!(s.store.read().await, Err(Error::Unavailable(_))));
    assert!(Store::exists(&s.url).await.unwrap());
    s.store = Store::open(&s.url, &master(), NOW.plus_days(1)).await.unwrap();
    let mut c = s.read().await;
    assert_eq!(users::find(&mut c, ada).await.unwrap().unwrap().name, "ada");
    assert_eq!(audit::head(&mut c).await.unwrap(), head);
    assert_eq!(teams::find(&mut c, PUBLIC).await.unwrap().unwrap().created_at, NOW);
    assert_eq!(s.store.kind(), if s.file().is_some() { "sqlite" } else { "postgres" });
}

async fn a_wrong_master_key_is_refused_and_nothing_changed(s: Setting) {
    s.human("ada").await;
    // Ends without being closed, as after a crash, so that there is something to recover.
    let file = s.file();
    if let Some(file) = &file {
        for ending in ["", "-wal"] {
            fs::copy(with_ending(file, ending), with_ending(&file.with_extension("copy"), ending)).unwrap();
        }
    }
    let url = match &file {
        Some(file) => format!("sqlite://{}", file.with_extension("copy").display()),
        None => s.url.clone(),
    };
    let bytes = || file.as_ref().map(|file| fs::read(file.with_extension("copy")).unwrap());
    let before = bytes();
    let wrong = MasterKey::generate(&Random::seeded(2)).unwrap();
    let error = Store::open(&url, &wrong, NOW).await.unwrap_err();
    assert!(matches!(error, Error::WrongMasterKey), "{error}");
    assert_eq!(bytes(), before);
    let right = open(&url).await.unwrap();
    assert!(users::find(&mut right.read().await.unwrap(), UserId(1)).await.unwrap().is_some());
}

fn with_ending(file: &Path, ending: &str) -> String {
    format!("{}{ending}", file.display())
}

async fn a_newer_schema_is_refused(s: Setting) {
    s.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    s.store.close().await;
    let error = open(&s.url).await.unwrap_err();
    assert!(matches!(error, Error::NewerSchema), "{error}");
}

async fn a_schema_that_was_meddled_with_is_refused(s: Setting) {
    s.execute("DELETE FROM _sqlx_migrations").await;
    s.store.close().await;
    let error = open(&s.url).await.unwrap_err();
    assert!(matches!(error, Error::Migration(_)), "{error}");
}

async fn a_lost_head_is_told(s: Setting) {
    s.execute("DELETE FROM audit_head").await;
    assert!(matches!(s.store.begin(&Clock::turned(NOW)).await, Err(Error::Corrupt(_))));
    assert!(matches!(audit::verify(&s.store, None).await, Err(Error::Corrupt(_))));
}

#[tokio::test]
async fn a_sqlite_file_belongs_to_one_at_a_time() {
    let s = Setting::sqlite().await;
    let error = open(&s.url).await.unwrap_err();
    assert!(matches!(error, Error::Held));
    assert_eq!(error.to_string(), "a tokenhouse server holds this store; stop it first");
    assert!(Store::exists(&s.url).await.unwrap());
    s.store.clone().close().await;
    open(&s.url).await.unwrap();
}

#[tokio::test]
async fn folder_and_file_are_for_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a/b/store.db");
    let url = format!("sqlite://{}", file.display());
    assert!(!Store::exists(&url).await.unwrap());
    assert!(!file.exists());
    let store = open(&url).await.unwrap();
    store.begin(&Clock::turned(NOW)).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.path().join("a")), mode(&folder.path().join("a/b"))), (0o700, 0o700));
    for ending in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(Path::new(&with_ending(&file, ending))), 0o600, "{ending}");
    }
}

#[tokio::test]
async fn a_path_is_taken_literally() {
    let here = tempfile::tempdir_in(".").unwrap();
    let relative = Path::new(here.path().file_name().unwrap());
    for odd in ["plain.db", "100%41?mode=ro #1 ö.db", "../up.db"] {
        let file = relative.join("data").join(odd);
        open(&format!("sqlite://{}", file.display())).await.unwrap().close().await;
        assert!(fs::metadata(file).unwrap().len() > 0);
    }
}

#[tokio::test]
async fn what_is_no_url_of_a_store_is_refused() {
    for url in ["", "store.db", "sqlite:", "sqlite://", "mysql://localhost/x", "postgres://localhost:x/y"] {
        assert!(matches!(open(url).await, Err(Error::UnknownUrl)), "{url}");
        assert!(matches!(Store::exists(url).await, Err(Error::UnknownUrl)), "{url}");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let url = format!("sqlite://{}/store.db", file.path().display());
    let error = open(&url).await.unwrap_err();
    assert!(matches!(&error, Error::File { path, .. } if path == file.path()), "{error}");
}

#[tokio::test]
async fn a_file_of_something_else_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    fs::write(&file, "not a database, and long enough to be sure of it".repeat(100)).unwrap();
    let error = open(&format!("sqlite://{}", file.display())).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_its_password_is_not_told() {
    let error = open("postgres://tokenhouse:hunter2@127.0.0.1:1/tokenhouse").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_postgres_without_a_store_has_none() {
    let url = postgres::database().await;
    assert!(!Store::exists(&url).await.unwrap());
    // Of two that are first with different keys, one wins.
    let other = MasterKey::generate(&Random::seeded(2)).unwrap();
    let (one, two) = (master(), other);
    let (first, second) = tokio::join!(Store::open(&url, &one, NOW), Store::open(&url, &two, NOW));
    let refused = [first.err(), second.err()].into_iter().flatten().collect::<Vec<_>>();
    assert!(matches!(refused.as_slice(), [Error::WrongMasterKey]), "{refused:?}");
    assert!(Store::exists(&url).await.unwrap());
}

/// Stores as released versions left them, made with the master key of the tests, with a user Ada, a
/// team Data she is in, and a token of hers. A schema is added here when it is released: run what
/// makes these three, then `sqlite3 store.db .dump` and `pg_dump --inserts --no-owner`.
const RELEASED: [(&str, &str); 1] =
    [(include_str!("released/0001.sqlite.sql"), include_str!("released/0001.postgres.sql"))];

#[tokio::test]
async fn every_released_sqlite_schema_is_brought_up_to_date() {
    for (dump, _) in RELEASED {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        fs::write(&file, "").unwrap();
        is_brought_up_to_date(&format!("sqlite://{}", file.display()), dump).await;
    }
}

#[tokio::test]
async fn every_released_postgres_schema_is_brought_up_to_date() {
    for (_, dump) in RELEASED {
        is_brought_up_to_date(&postgres::database().await, dump).await;
    }
}

async fn is_brought_up_to_date(url: &str, dump: &str) {
    sqlx::any::install_default_drivers();
    let mut raw = <sqlx::AnyConnection as sqlx::Connection>::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(dump.to_owned())).execute(&mut raw).await.unwrap();
    drop(raw);
    let store = open(url).await.unwrap();
    assert_eq!(audit::verify(&store, None).await.unwrap().unwrap().seq, 3);
    let mut c = store.read().await.unwrap();
    let ada = users::find_by_user_name(&mut c, "local|ada").await.unwrap().unwrap();
    assert_eq!(ada.teams, ["Public", "Data"]);
    let token = tokens::personal(&mut c, ada.id).await.unwrap().pop().unwrap();
    assert_eq!((token.name.as_str(), token.revoked_at), ("1", None));
    // What came later is empty and can be filled.
    assert_eq!(passwords::of_user(&mut c, ada.id).await.unwrap(), None);
    assert_eq!(sessions::of_user(&mut c, ada.id, NOW).await.unwrap(), []);
    drop(c);
    let mut w = store.begin(&Clock::turned(NOW)).await.unwrap();
    passwords::set(&mut w, ada.id, &PasswordHash::new("$argon2id$".into())).await.unwrap();
    let session = NewSession {
        user: ada.id,
        secret_hash: &[1; 32],
        expires_at: NOW.plus_days(7),
        ip: "::1",
        user_agent: None,
    };
    sessions::insert(&mut w, &session).await.unwrap();
    assert!(teams::insert(&mut w, &name("More"), None).await.unwrap() > PUBLIC);
}

#[tokio::test]
async fn several_processes_share_a_postgres_store() {
    let s = Setting::postgres().await;
    let other = open(&s.url).await.unwrap();
    drop(other.begin(&Clock::turned(NOW)).await.unwrap());
    drop(s.store.begin(&Clock::turned(NOW)).await.unwrap());
}

#[tokio::test]
async fn a_writer_that_hangs_does_not_stop_the_others_on_postgres() {
    let s = Setting::postgres().await;
    let other = open(&s.url).await.unwrap();
    let mut hangs = other.begin(&Clock::turned(NOW)).await.unwrap();
    s.write(async |_| Ok(())).await;
    hangs.record(draft(Action::TokenRevoked, 1)).await.unwrap();
    let late = hangs.commit().await.map(|committed| committed.head());
    assert!(matches!(late, Err(Error::Unavailable(_))), "{late:?}");
    drop(other.begin(&Clock::turned(NOW)).await.unwrap());
}

#[tokio::test]
async fn a_writer_that_waited_in_vain_does_not_spoil_the_next_on_postgres() {
    let s = Setting::postgres().await;
    let lock = "BEGIN; SELECT pg_advisory_xact_lock(8390876171426886)";
    let mut held = s.raw().await;
    sqlx::raw_sql(lock).execute(&mut held).await.unwrap();
    assert!(matches!(s.store.begin(&Clock::turned(NOW)).await, Err(Error::Unavailable(_))));
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    drop(s.store.begin(&Clock::turned(NOW)).await.unwrap());
}

#[tokio::test]
async fn a_file_has_one_lock_by_whatever_name() {
    let s = Setting::sqlite().await;
    let link = s.file().unwrap().with_file_name("link.db");
    std::os::unix::fs::symlink(s.file().unwrap(), &link).unwrap();
    let opened = open(&format!("sqlite://{}", link.display())).await;
    assert!(matches!(opened, Err(Error::Held)));
}

/// Servers of one fleet that start at once: the schema is made once, and whoever comes second waits.
#[tokio::test]
async fn many_open_an_empty_database_at_once() {
    let url = postgres::database().await;
    for opened in futures_util::future::join_all((0..8).map(|_| open(&url))).await {
        let store = opened.unwrap();
        assert_eq!(
            teams::find(&mut store.read().await.unwrap(), PUBLIC).await.unwrap().unwrap().created_at,
            NOW
        );
    }
}
