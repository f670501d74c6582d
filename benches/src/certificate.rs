//! A certificate for loopback.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// Files of a certificate that nobody trusts, and its key (ECDSA on P-256).
pub struct Certificate {
    /// The certificate as PEM.
    pub certificate: PathBuf,
    /// Its private key as PEM.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one in a folder.
    pub fn new(folder: &Path) -> Result<Self, Failure> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        Ok(Self { certificate, key })
    }
}
