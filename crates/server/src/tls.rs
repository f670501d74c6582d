//! The server's certificate, reloaded when its files change: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Why a certificate and its key can't be used. Names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not well-formed PEM (RFC 7468).
    #[error("{} is not well-formed PEM; is the file complete?", .0.display())]
    NotPem(PathBuf),
    /// A file holds no certificate.
    #[error("{} holds no certificate (a PEM section CERTIFICATE)", .0.display())]
    NoCertificate(PathBuf),
    /// A file holds no private key.
    #[error("{} holds no private key (a PEM section PRIVATE KEY; an encrypted key has to be decrypted first)", .0.display())]
    NoKey(PathBuf),
    /// The first certificate of a file can't be understood.
    #[error("{} holds a certificate that can't be used: {source}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The private key of a file is of no use for TLS.
    #[error("{} holds a private key that can't be used: it must be RSA of at least 2048 bits, ECDSA on P-256 or P-384, or Ed25519", .0.display())]
    BadKey(PathBuf),
    /// The key is not the certificate's.
    #[error("the private key in {} doesn't belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
    /// TLS can't be set up at all.
    #[error("TLS can't be set up: {0}")]
    Setup(rustls::Error),
}

/// A TLS configuration that follows its files. Clones share it.
#[derive(Clone)]
pub struct Reloading(Arc<Shared>);

struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
    /// What the files were when they were last looked at: a hash of both, or the error.
    seen: Mutex<Result<[u8; 32], String>>,
}

impl Reloading {
    /// Loads a certificate chain, the server's own first, and its private key from PEM files.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let files = Files::read(&certificate, &key)?;
        let current = ArcSwap::from(configure(&certificate, &key, &files)?);
        let seen = Mutex::new(Ok(files.hash()));
        Ok(Self(Arc::new(Shared { certificate, key, current, seen })))
    }

    /// The configuration for the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.current.load_full()
    }

    /// Looks at the files and takes in what is new; `false` if they are what they were. On an error,
    /// which is told once for each change, the certificate in use stays. Blocks while it reads.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let Shared { certificate, key, current, seen } = &*self.0;
        let files = Files::read(certificate, key);
        let now = files.as_ref().map(Files::hash).map_err(ToString::to_string);
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == now {
                return Ok(false);
            }
            *seen = now;
        }
        current.store(configure(certificate, key, &files?)?);
        Ok(true)
    }

    /// Looks at the files `every` so often until `shutdown` is cancelled, and logs what comes of it.
    pub async fn follow(self, every: Duration, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            let this = self.clone();
            match tokio::task::spawn_blocking(move || this.reload_if_changed()).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    tracing::info!(certificate = %self.0.certificate.display(), "the certificate was reloaded");
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "the new certificate is not used, the old one stays");
                }
                Err(error) => tracing::error!(%error, "the certificate's files were not looked at"),
            }
        }
    }
}

impl fmt::Debug for Reloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { certificate, key, .. } = &*self.0;
        f.debug_struct("Reloading")
            .field("certificate", certificate)
            .field("key", key)
            .finish_non_exhaustive()
    }
}

/// The bytes of both files.
struct Files {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.into(), source })
        };
        Ok(Self { certificate: read(certificate)?, key: Zeroizing::new(read(key)?) })
    }

    fn hash(&self) -> [u8; 32] {
        let of_key = Sha256::digest(&self.key);
        Sha256::new().chain_update(of_key).chain_update(&self.certificate).finalize().into()
    }
}

fn configure(certificate: &Path, key: &Path, files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain = CertificateDer::pem_slice_iter(&files.certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::NotPem(certificate.into()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.into()));
    }
    let private = match PrivateKeyDer::pem_slice_iter(&files.key).next() {
        Some(Ok(private)) => private,
        Some(Err(_)) => return Err(TlsError::NotPem(key.into())),
        None => return Err(TlsError::NoKey(key.into())),
    };
    let signing =
        provider.key_provider.load_private_key(private).map_err(|_| TlsError::BadKey(key.into()))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) => {}
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            return Err(TlsError::Mismatch { certificate: certificate.into(), key: key.into() });
        }
        Err(source) => return Err(TlsError::BadCertificate { path: certificate.into(), source }),
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
