//! What an answer promises, in the cases where there is nothing left to do or something went wrong.

use serde_json::json;
use tokenhouse::auth::guard::{Call, Credential, Origin};
use tokenhouse::error::Error;
use tokenhouse_core::audit::Action;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::Role;
use tokenhouse_core::verdict::Reason;
use tokenhouse_store::{tokens, users};
use tokenhouse_testkit::server::{Account, Database, TestServer};

use super::{generate, is_accepted, set_revoked};

/// Revokes a token in the store as a change does that is committed, but didn't reach the index: its
/// caller got 503, or is still waiting.
pub(crate) async fn revoked_but_not_followed(server: &TestServer, account: &Account) {
    let mut writer = server.app.store.begin(&server.app.clock).await.unwrap();
    tokens::set_revoked(&mut writer, TokenId(account.token_id), Some(Timestamp::from_seconds(0)))
        .await
        .unwrap();
    let line = Call::command_line();
    let draft = line.draft(Action::TokenRevoked, account.token_id, "first", serde_json::Map::new());
    writer.record(draft).await.unwrap();
    writer.commit().await.unwrap();
}

/// A call with this account's token, as it is when the request comes in.
fn call(server: &TestServer, account: &Account) -> Call {
    let hash = server.app.codec.read(account.token.expose().as_bytes()).unwrap().hash();
    let owner = server.app.feed.index().owner(UserId(account.id)).unwrap();
    let origin = Origin { ip: [127, 0, 0, 1].into(), request_id: None };
    Call::of(owner, Credential::Token(TokenId(account.token_id), hash), origin)
}

/// The caller is looked at again when the turn has come, in an index that shows all that was committed before.
#[tokio::test]
async fn what_waited_while_the_token_lost_its_rights_is_not_done() {
    for database in [Database::Sqlite, Database::Postgres] {
        let server = TestServer::builder().on(database).start().await.without_background().await;
        let people = server.people().await;
        let of_service = call(&server, &people.service);
        drop(server.app.begin(&of_service).await.unwrap());
        revoked_but_not_followed(&server, &people.service).await;
        let begun = server.app.begin(&of_service).await.map(drop);
        assert!(matches!(begun, Err(Error::Unauthenticated(Some(Reason::Revoked)))), "{begun:?}");
        let path = format!("/api/user-tokens/{}", people.service.token_id);
        server.as_(&people.admin.token).delete(&path).await.expect(204);
        let begun = server.app.begin(&of_service).await.map(drop);
        assert!(matches!(begun, Err(Error::Unauthenticated(Some(Reason::Unknown)))), "{begun:?}");

        let of_manager = call(&server, &people.manager);
        let path = format!("/api/users/{}", people.manager.id);
        let admin = server.as_(&people.admin.token);
        admin.put(&path, &json!({ "role": "Member" })).await.expect(200);
        let begun = server.app.begin(&of_manager).await.map(drop);
        assert!(matches!(begun, Err(Error::Forbidden(_))), "{begun:?}");
        admin.delete(&path).await.expect(204);
        let begun = server.app.begin(&of_manager).await.map(drop);
        assert!(matches!(begun, Err(Error::Unauthenticated(Some(Reason::Deactivated)))), "{begun:?}");
    }
}

#[tokio::test]
async fn revoking_what_is_revoked_is_answered_when_it_is_in_effect() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let (id, admin) = (people.service.token_id, &people.admin.token);
    revoked_but_not_followed(&server, &people.service).await;
    set_revoked(&server, admin, id, true).await;
    assert!(!is_accepted(&server, &people.service.token).await);
}

#[tokio::test]
async fn presenting_what_is_revoked_is_answered_when_it_is_in_effect() {
    let server = TestServer::start().await;
    let people = server.people().await;
    revoked_but_not_followed(&server, &people.member).await;
    let form = [("token", people.member.token.expose())];
    server.client().post_form("/oauth/revoke", &form).await.expect(200);
    assert!(!is_accepted(&server, &people.member.token).await);
}

#[tokio::test]
async fn deactivating_who_is_deactivated_is_answered_when_it_is_in_effect() {
    let server = TestServer::start().await;
    let people = server.people().await;
    let mut writer = server.app.store.begin(&server.app.clock).await.unwrap();
    let now = writer.now();
    users::set_deactivated(&mut writer, UserId(people.member.id), Some(now)).await.unwrap();
    let line = Call::command_line();
    writer
        .record(line.draft(Action::UserDeactivated, people.member.id, "", serde_json::Map::new()))
        .await
        .unwrap();
    writer.commit().await.unwrap();
    server.as_(&people.admin.token).delete(&format!("/api/users/{}", people.member.id)).await.expect(204);
    assert!(!is_accepted(&server, &people.member.token).await);
}

#[tokio::test]
async fn deleting_a_stolen_token_does_not_save_what_was_made_with_it() {
    let server = TestServer::start().await;
    let ada = server.person("Ada", Role::Admin).await;
    let stolen = generate(&server, &ada.token, "stolen", None).await;
    let child = generate(&server, &stolen.bearer(), "child", None).await.bearer();
    set_revoked(&server, &child, stolen.id(), true).await;
    let path = format!("/api/user-tokens/{}", stolen.id());
    server.as_(&child).delete(&path).await.expect(204);
    let client = server.as_(&ada.token);
    // Gone for everything else.
    client.get(&path).await.expect(404);
    client.put(&path, &json!({ "revoke": true })).await.expect(404);
    client.put(&path, &json!({ "revoke": false })).await.expect(404);
    let answer = client.put(&path, &json!({ "revoke": true, "descendants": true })).await;
    assert_eq!(answer.expect(200).json()["active"], false);
    assert!(!is_accepted(&server, &child).await);
    // But not for others.
    let ben = server.person("Ben", Role::Admin).await;
    let by_ben = server.as_(&ben.token).put(&path, &json!({ "revoke": true, "descendants": true })).await;
    by_ben.expect(404);
}
