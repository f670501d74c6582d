//! The server's certificate, reloaded when its files change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

/// A certificate and its key can't be used. Names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A TLS configuration that follows its files. Clones share it.
#[derive(Clone)]
pub struct Reloading {
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Reloading {
    /// Loads a certificate chain and its private key from PEM files.
    pub fn open(_certificate: PathBuf, _key: PathBuf) -> Result<Self, TlsError> {
        unimplemented!()
    }

    /// The configuration for the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Looks at the files and takes in what is new: `true` if there was something. After an error
    /// the old certificate stays in use.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        Ok(false)
    }

    /// Looks at the files `every` so often until `shutdown`, and logs what changed.
    pub async fn follow(self, _every: Duration, shutdown: CancellationToken) {
        shutdown.cancelled().await;
    }
}
