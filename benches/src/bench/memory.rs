//! How much memory each token needs: in the index alone, and in the whole server.

use std::path::PathBuf;

use serde_json::json;
use tokenhouse_benches::fill::Filled;
use tokenhouse_benches::server::resident_bytes;
use tokenhouse_benches::tokenhouse::{Options, Tokenhouse};
use tokenhouse_benches::{Failure, NOW, TOKENS_PER_OWNER, codec, index_of_owners, mint, put_token, report};

/// How much memory each token needs
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many tokens; in the store, ten for each owner
    #[arg(long, default_value_t = 1_000_000)]
    tokens: usize,
    /// How many owners share them in the index alone
    #[arg(long, default_value_t = 1_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    owners: usize,
    /// Folder for the figures as JSON
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { tokens, owners, results } = arguments;
    let index = index_alone(tokens, owners)?;
    let store_owners = tokens.div_ceil(TOKENS_PER_OWNER);
    let full = server(&Filled::shared(&results, tokens).await?.0)?;
    let without_tokens = server(&Filled::new(tempfile::tempdir()?.path(), 0, store_owners).await?)?;
    let empty = server(&Filled::new(tempfile::tempdir()?.path(), 0, 1).await?)?;
    let each = |bytes: usize, less: usize| bytes.saturating_sub(less) / tokens.max(1);
    let figures = [
        ("index alone", index / tokens.max(1)),
        ("server, less one with the same owners", each(full, without_tokens)),
        ("server, less an empty one", each(full, empty)),
    ];
    println!("{tokens} tokens; of {owners} owners in the index alone, of {store_owners} in the server");
    let head = ["", "bytes for each token"].map(String::from);
    let rows = figures.map(|(what, bytes)| [what.to_owned(), bytes.to_string()]);
    report::print(&[vec![head], rows.to_vec()].concat());
    let figures = json!({
        "tokens": tokens,
        "index_alone": { "owners": owners, "bytes_per_token": figures[0].1 },
        "server": {
            "owners": store_owners,
            "bytes_per_token_less_same_owners": figures[1].1,
            "bytes_per_token_less_empty": figures[2].1,
            "resident_bytes_empty": empty,
            "resident_bytes_full": full,
        },
    });
    report::write(&results, &format!("memory-{tokens}"), &figures)
}

/// Bytes that an index of tokens and owners takes.
fn index_alone(tokens: usize, owners: usize) -> Result<usize, Failure> {
    let codec = codec()?;
    let before = resident_bytes("self")?;
    let index = index_of_owners(owners, tokens);
    for number in 0..tokens {
        put_token(&index, &mint(&codec, number, NOW).1, number, owners);
    }
    let bytes = resident_bytes("self")?.saturating_sub(before);
    if index.len() == tokens { Ok(bytes) } else { Err("tokens are missing in the index".into()) }
}

/// Bytes of a server that has just become ready.
fn server(filled: &Filled) -> Result<usize, Failure> {
    Tokenhouse::start(filled, Options::default())?.resident_bytes()
}
