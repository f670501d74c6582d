//! A store to try things on.

use std::path::PathBuf;

use serde_json::json;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use tempfile::TempDir;
use tokenhouse_core::audit::{Action, Actor, Entity, Via};
use tokenhouse_core::clock::{Clock, Timestamp};
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::keys::MasterKey;
use tokenhouse_core::people::{Name, Role, UserType};
use tokenhouse_core::random::Random;
use tokenhouse_core::token::TokenHash;
use tokenhouse_store::audit::Draft;
use tokenhouse_store::tokens::NewToken;
use tokenhouse_store::users::NewUser;
use tokenhouse_store::{Error, Reader, Store, Writer, tokens, users};
use tokenhouse_testkit::postgres;

/// Noon of 2026-01-15.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_768_478_400);

/// Makes two tests of every function: one on SQLite, one on PostgreSQL.
macro_rules! on_both {
    ($($contract:ident),+ $(,)?) => {
        $(mod $contract {
            #[tokio::test]
            async fn on_sqlite() {
                super::$contract(crate::setting::Setting::sqlite().await).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                super::$contract(crate::setting::Setting::postgres().await).await;
            }
        })+
    };
}
pub(crate) use on_both;

/// An open store. Its database goes with it.
pub(crate) struct Setting {
    pub(crate) store: Store,
    pub(crate) url: String,
    folder: Option<TempDir>,
}

pub(crate) fn master() -> MasterKey {
    MasterKey::generate(&Random::seeded(1)).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn hash(number: u8) -> TokenHash {
    TokenHash::from_bytes([number; 32])
}

/// A record that something was done by Ada with token 3.
pub(crate) fn draft(action: Action, id: i64) -> Draft {
    let ada =
        Actor { id: UserId(1), user_id: "local|ada".into(), name: "Ada".into(), user_type: UserType::Human };
    let changes = json!({"name": [null, "airflow-prod"]});
    Draft {
        action,
        entity: Entity { kind: action.entity().into(), id, name: "airflow-prod".into() },
        actor: Some(ada),
        via: Via::Token(TokenId(3)),
        ip: Some([10, 0, 0, 7].into()),
        request_id: Some("r-1".into()),
        changes: changes.as_object().unwrap().clone(),
    }
}

/// A token of this owner with nothing special about it.
pub(crate) fn token(owner: UserId, name: &Name, number: u8) -> NewToken<'_> {
    NewToken {
        owner,
        name,
        hash: hash(number),
        scim_only: false,
        created_at: NOW,
        created_by: owner,
        expires_at: None,
        parent_id: None,
        rotates: None,
    }
}

/// A human Member with nothing special about them.
pub(crate) fn user<'a>(user_id: &'a str, name: &'a Name) -> NewUser<'a> {
    NewUser {
        user_id,
        user_name: user_id,
        email: user_id,
        name,
        role: Role::Member,
        user_type: UserType::Human,
        purpose: None,
        owner: None,
        created_at: NOW,
        created_by: None,
    }
}

impl Setting {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("store.db").display());
        Self { store: open(&url).await.unwrap(), url, folder: Some(folder) }
    }

    pub(crate) async fn postgres() -> Self {
        let url = postgres::database().await;
        Self { store: open(&url).await.unwrap(), url, folder: None }
    }

    /// The file of a SQLite store.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().join("store.db"))
    }

    pub(crate) async fn read(&self) -> Reader {
        self.store.read().await.unwrap()
    }

    pub(crate) async fn begin(&self) -> Writer {
        self.store.begin(&Clock::turned(NOW)).await.unwrap()
    }

    /// Changes something, with a record.
    pub(crate) async fn write<T>(&self, change: impl AsyncFnOnce(&mut Writer) -> Result<T, Error>) -> T {
        let mut w = self.begin().await;
        let result = change(&mut w).await.unwrap();
        w.record(draft(Action::UserUpdated, 1)).await.unwrap();
        w.commit().await.unwrap();
        result
    }

    /// Tries to change something and tells why it can't be done.
    pub(crate) async fn refused<T>(
        &self,
        change: impl AsyncFnOnce(&mut Writer) -> Result<T, Error>,
    ) -> Error {
        let mut w = self.begin().await;
        change(&mut w).await.err().expect("refused")
    }

    /// A human Member of this name.
    pub(crate) async fn human(&self, text: &str) -> UserId {
        let user_id = format!("local|{text}");
        self.write(async |w| users::insert(w, &user(&user_id, &name(text))).await).await
    }

    /// A service user of this name.
    pub(crate) async fn service(&self, text: &str) -> UserId {
        let user_id = format!("{text}@service");
        let name = name(text);
        let new = NewUser { user_type: UserType::Service, user_name: text, ..user(&user_id, &name) };
        self.write(async |w| users::insert(w, &new).await).await
    }

    /// A token whose name is its number.
    pub(crate) async fn token(&self, owner: UserId, number: u8) -> TokenId {
        let name = name(&number.to_string());
        self.write(async |w| tokens::insert(w, &token(owner, &name, number)).await).await
    }

    /// A connection past the store.
    pub(crate) async fn raw(&self) -> AnyConnection {
        AnyConnection::connect(&self.url).await.unwrap()
    }

    /// Does something past the store.
    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.raw().await).await.unwrap();
    }
}

pub(crate) async fn open(url: &str) -> Result<Store, Error> {
    Store::open(url, &master(), NOW).await
}
