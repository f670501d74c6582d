//! A filled store is one that the server would have made, apart from the audit trail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::{codec, master_key, owner};
use tokenhouse_core::audit::Head;
use tokenhouse_core::clock::Clock;
use tokenhouse_core::id::UserId;
use tokenhouse_store::{Store, audit, tokens, users};

#[tokio::test]
async fn a_filled_store_holds_the_tokens_that_are_presented() {
    let folder = tempfile::tempdir().unwrap();
    let filled = Filled::new(folder.path(), 25_000, 7).await.unwrap();
    let url = format!("sqlite://{}", filled.database.display());
    let store = Store::open(&url, &master_key().unwrap(), Clock::system().now()).await.unwrap();
    let mut reader = store.read().await.unwrap();

    assert_eq!(tokens::count(&mut reader).await.unwrap(), 25_000);
    let presented: Vec<_> = filled.presented(100).collect();
    assert_eq!(presented.len(), 100);
    for (position, text) in presented.iter().enumerate() {
        let hash = codec().unwrap().read(text.as_bytes()).unwrap().hash();
        let token = tokens::find_by_hash(&mut reader, &hash).await.unwrap().unwrap();
        assert_eq!(token.name, format!("token-{}", position * 250));
        assert!(token.owner.active && token.expires_at.unwrap() > Clock::system().now());
    }
    let stored = users::states(&mut reader, &[UserId(7)]).await.unwrap().pop().unwrap();
    assert_eq!(stored, tokenhouse_core::index::OwnerState { id: UserId(7), ..owner(6) });
    drop(reader);
    assert_eq!(audit::verify(&store, None).await.unwrap(), Ok(Head::EMPTY));
}
