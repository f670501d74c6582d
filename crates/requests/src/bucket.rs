//! The object store that all nodes of a fleet share.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};

use crate::error::Error;

/// How long, and how often, something is tried again at once. Whoever asked can ask again, and what is to be moved
/// is moved a few seconds later.
const RETRY_FOR: Duration = Duration::from_secs(10);
const RETRIES: usize = 3;

/// The object store behind `s3://bucket/folder`, with the region, the credentials and the endpoint that are among
/// the variables.
pub(crate) fn open(url: &str, variables: Vec<(String, String)>) -> Result<Arc<dyn ObjectStore>, Error> {
    // Its HTTP client panics without one. An error says that the process has chosen one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rest = url.strip_prefix("s3://").unwrap_or(url);
    let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
    let known = variables.into_iter().filter(|(name, _)| name.starts_with("AWS_"));
    let known = known.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)));
    let builder = known.fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value));
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() };
    let store = builder.with_bucket_name(bucket).with_retry(retry).build()?;
    Ok(Arc::new(PrefixStore::new(store, folder)))
}
