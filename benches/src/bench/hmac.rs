//! HMAC-SHA256 with a key that is ready, by each of three libraries: of 300 bytes, as for the signature of
//! a token, and of 40, as for its keyed hash.

use std::hint::black_box;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokenhouse_benches::Failure;
use tokenhouse_benches::in_process::Sampling;

const KEY: [u8; 32] = [7; 32];

/// HMAC-SHA256 by each of three libraries, in process
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sampling: Sampling,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut criterion = arguments.sampling.criterion();
    let rustcrypto = Hmac::<Sha256>::new_from_slice(&KEY)?;
    let ring = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &KEY);
    let aws = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &KEY);
    for length in [40, 300] {
        let message = vec![42; length];
        let by_rustcrypto = |message: &[u8]| rustcrypto.clone().chain_update(message).finalize().into_bytes();
        let by_ring = |message: &[u8]| ring::hmac::sign(&ring, message);
        let by_aws = |message: &[u8]| aws_lc_rs::hmac::sign(&aws, message);
        // They must do the same to be compared.
        let expected = by_rustcrypto(&message);
        assert_eq!(expected[..], *by_ring(&message).as_ref());
        assert_eq!(expected[..], *by_aws(&message).as_ref());
        let mut group = criterion.benchmark_group(format!("HMAC-SHA256 of {length} bytes"));
        group.bench_function("RustCrypto", |b| b.iter(|| by_rustcrypto(black_box(&message))));
        group.bench_function("ring", |b| b.iter(|| by_ring(black_box(&message))));
        group.bench_function("aws-lc-rs", |b| b.iter(|| by_aws(black_box(&message))));
        group.finish();
    }
    Ok(())
}
