//! The servers of a fleet: PostgreSQL only.

use tokenhouse_core::audit::{Action, Head};
use tokenhouse_store::nodes::{self, Membership, News, Node};

use crate::setting::{Setting, draft};

impl Setting {
    fn member(&self, incarnation: &str, name: &str) -> Membership {
        self.store.membership(incarnation, name)
    }

    async fn nodes(&self) -> Vec<(String, i64, i64)> {
        let found = nodes::all(&mut *self.read().await).await.unwrap().nodes;
        let told = |Node { name, renewals, applied, .. }: Node| (name, renewals, applied);
        found.into_iter().map(told).collect()
    }
}

#[tokio::test]
async fn sqlite_has_no_fleet() {
    assert!(!Setting::sqlite().await.store.has_fleet());
}

#[tokio::test]
async fn a_node_registers_renews_and_leaves() {
    let s = Setting::postgres().await;
    assert!(s.store.has_fleet());
    let mut gate = s.member("a", "gate");
    assert_eq!(gate.renew(Head::EMPTY, 1).await.unwrap(), None, "not registered yet");
    assert!(gate.register(3, 2).await.unwrap());
    assert_eq!(s.nodes().await, [("gate".into(), 2, 3)]);
    let mut heads = Vec::new();
    for _ in 0..7 {
        s.write(async |_| Ok(())).await;
        heads.push(tokenhouse_store::audit::head(&mut *s.read().await).await.unwrap().0);
    }
    let renewal = gate.renew(heads[1], 3).await.unwrap().unwrap();
    assert_eq!(renewal.head, heads[6]);
    assert_eq!(s.nodes().await, [("gate".into(), 3, 3)], "what was applied never goes back");
    gate.acknowledge(heads[5]).await.unwrap();
    gate.acknowledge(heads[4]).await.unwrap();
    assert_eq!(s.nodes().await, [("gate".into(), 3, 6)]);
    // Another history: it has a change of that number, but not this one.
    gate.acknowledge(Head { hash: [1; 32], ..heads[6] }).await.unwrap();
    gate.renew(Head { hash: [1; 32], ..heads[6] }, 4).await.unwrap();
    assert_eq!(s.nodes().await, [("gate".into(), 4, 6)]);
    gate.leave().await.unwrap();
    assert_eq!(s.nodes().await, []);
}

#[tokio::test]
async fn a_name_is_given_once() {
    let s = Setting::postgres().await;
    assert!(s.member("a", "gate").register(0, 1).await.unwrap());
    let mut second = s.member("b", "gate");
    assert!(!second.register(0, 1).await.unwrap());
    assert_eq!(second.namesake().await.unwrap(), Some(("a".into(), 1)));
    second.forget("a", 1).await.unwrap();
    assert!(second.register(0, 2).await.unwrap());
}

#[tokio::test]
async fn who_has_renewed_again_is_not_forgotten() {
    let s = Setting::postgres().await;
    let (mut gate, mut other) = (s.member("a", "gate"), s.member("b", "other"));
    assert!(gate.register(0, 1).await.unwrap());
    gate.renew(Head::EMPTY, 2).await.unwrap().unwrap();
    other.forget("a", 1).await.unwrap();
    assert_eq!(s.nodes().await.len(), 1);
    // A renewal that was given up and comes late.
    gate.renew(Head::EMPTY, 1).await.unwrap().unwrap();
    assert_eq!(s.nodes().await, [("gate".into(), 2, 0)]);
    other.forget("a", 2).await.unwrap();
    assert_eq!(gate.renew(Head::EMPTY, 3).await.unwrap(), None);
}

#[tokio::test]
async fn changes_and_nodes_are_heard_of() {
    let s = Setting::postgres().await;
    let mut listener = s.store.listen().await.unwrap();
    let mut w = s.begin().await;
    w.record(draft(Action::TokenRevoked, 1)).await.unwrap();
    w.commit().await.unwrap();
    assert_eq!(listener.hear().await.unwrap(), News::Changes);
    let mut gate = s.member("a", "gate");
    assert!(gate.register(0, 1).await.unwrap());
    gate.renew(Head::EMPTY, 2).await.unwrap();
    let head = tokenhouse_store::audit::head(&mut *s.read().await).await.unwrap().0;
    gate.acknowledge(head).await.unwrap();
    assert_eq!(listener.hear().await.unwrap(), News::Applied("a".into(), 1));
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let s = Setting::postgres().await;
    let mut gate = s.member("a", "gate");
    assert!(gate.register(0, 1).await.unwrap());
    let mut listener = s.store.listen().await.unwrap();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::raw_sql(others).execute(&mut s.raw().await).await.unwrap();
    assert!(gate.renew(Head::EMPTY, 2).await.is_err());
    assert!(gate.renew(Head::EMPTY, 3).await.unwrap().is_some());
    assert!(listener.hear().await.is_err());
}
