//! The life of a token, step by step, each with the status it must have.

use http::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::{Cast, Failure, say};

const DATASTORES: &str = "/api/datastores";

/// Plays everything. Answers whether every step was as told.
pub(super) async fn play(client: &Client, cast: &Cast) -> Result<bool, Failure> {
    let mut stage = Stage { client, as_told: true };
    stage.revoke_and_restore(cast).await?;
    stage.inherit_live(cast).await?;
    stage.service_token(cast).await?;
    say(if stage.as_told { "\nEvery step was as told." } else { "\nNot every step was as told." })?;
    Ok(stage.as_told)
}

struct Stage<'a> {
    client: &'a Client,
    as_told: bool,
}

impl Stage<'_> {
    async fn revoke_and_restore(&mut self, cast: &Cast) -> Result<(), Failure> {
        let ci = cast.max.bearer.as_str();
        say("\nA Manager's token, through the gateway:")?;
        self.read("Max reads", ci, 200).await?;
        self.write("Max writes", ci, 201).await?;
        let listed = self.get("Max lists his tokens", &cast.max_laptop, "/api/user-tokens", 200).await?;
        let path = format!("/api/user-tokens/{}", id_of(&listed, "ci"));
        self.put("Max revokes it", &cast.max_laptop, &path, json!({ "revoke": true }), 200).await?;
        self.read("the next read is refused", ci, 401).await?;
        self.put("Max restores it", &cast.max_laptop, &path, json!({ "revoke": false }), 200).await?;
        self.read("it works again", ci, 200).await
    }

    async fn inherit_live(&mut self, cast: &Cast) -> Result<(), Failure> {
        let (ada, ci) = (cast.ada.bearer.as_str(), cast.max.bearer.as_str());
        let user = format!("/api/users/{}", cast.max.user.id);
        say("\nThe same token, while its owner changes:")?;
        self.put("Ada makes Max a Member", ada, &user, json!({ "role": "Member" }), 200).await?;
        self.write("he may no longer write", ci, 403).await?;
        self.read("but still read", ci, 200).await?;
        self.send("Ada deactivates Max", ada, Method::DELETE, &user, None, 204).await?;
        self.read("his token stops", ci, 401).await
    }

    async fn service_token(&mut self, cast: &Cast) -> Result<(), Failure> {
        let ada = cast.ada.bearer.as_str();
        say("\nA service token:")?;
        let wanted = json!({ "name": "nightly", "expires_in_days": 90, "user_id": cast.pipeline.id });
        let old =
            self.send("Ada makes one", ada, Method::POST, "/api/user-tokens", Some(wanted), 201).await?;
        self.write("the pipeline writes", bearer(&old), 201).await?;
        let path = format!("/api/user-tokens/{}", old["id"]);
        let rotate = format!("{path}/rotate");
        let new = self.send("Ada rotates it", ada, Method::POST, &rotate, None, 201).await?;
        self.read("the old one works", bearer(&old), 200).await?;
        self.read("and so does the new one", bearer(&new), 200).await?;
        self.put("Ada revokes the old one", ada, &path, json!({ "revoke": true }), 200).await?;
        self.read("the old one is refused", bearer(&old), 401).await?;
        self.read("the new one goes on", bearer(&new), 200).await?;
        self.send("Ada deletes the old one", ada, Method::DELETE, &path, None, 204).await?;
        self.get("it is gone", ada, &path, 404).await?;
        self.get("and all of it is on record", ada, "/api/activity", 200).await?;
        Ok(())
    }

    async fn read(&mut self, line: &str, bearer: &str, status: u16) -> Result<(), Failure> {
        self.get(line, bearer, DATASTORES, status).await.map(|_| ())
    }

    async fn write(&mut self, line: &str, bearer: &str, status: u16) -> Result<(), Failure> {
        self.send(line, bearer, Method::POST, DATASTORES, Some(json!({})), status).await.map(|_| ())
    }

    async fn get(&mut self, line: &str, bearer: &str, path: &str, status: u16) -> Result<Value, Failure> {
        self.send(line, bearer, Method::GET, path, None, status).await
    }

    async fn put(
        &mut self,
        line: &str,
        bearer: &str,
        path: &str,
        body: Value,
        status: u16,
    ) -> Result<Value, Failure> {
        self.send(line, bearer, Method::PUT, path, Some(body), status).await
    }

    /// Sends a request and shows it, with a mark that says whether the status is the one told.
    async fn send(
        &mut self,
        line: &str,
        bearer: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
        told: u16,
    ) -> Result<Value, Failure> {
        let answer = self.client.send(bearer, &method, path, body.as_ref()).await?;
        let found = answer.status.as_u16();
        let (mark, remark) = if found == told {
            ("ok", String::new())
        } else {
            self.as_told = false;
            ("NO", format!("  (should be {told})"))
        };
        say(format_args!("  {mark}  {found}  {:<7}{path:<30} {line}{remark}", method.as_str()))?;
        Ok(answer.body)
    }
}

fn bearer(created: &Value) -> &str {
    created["bearer_token"].as_str().unwrap_or_default()
}

/// The number of the token with this name in a list of tokens.
fn id_of(tokens: &Value, name: &str) -> i64 {
    let found = tokens.as_array().into_iter().flatten().find(|token| token["name"] == name);
    found.and_then(|token| token["id"].as_i64()).unwrap_or_default()
}
