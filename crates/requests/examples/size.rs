//! Writes the file of an hour with realistic requests, and prints how many bytes a row takes in each column.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::print_stdout, clippy::pedantic)]

// What decides the size is not public.
#[path = "../src/error.rs"]
mod error;
#[path = "../src/layout.rs"]
mod layout;
#[path = "../src/row.rs"]
mod row;
#[path = "../src/table.rs"]
mod table;

use std::net::IpAddr;
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::file::metadata::ParquetMetaDataReader;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::token::TokenKind;
use tokenhouse_core::verdict::{Checkpoint, Reason, Subject};

use crate::row::Row;

const ROWS: u64 = 139_000;
const TOKENS: u64 = 10_000;

const AGENTS: [&str; 6] = [
    "curl/8.5.0",
    "python-requests/2.32.3",
    "Go-http-client/2.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "datastores-cli/4.2.1 (linux; amd64)",
    "Terraform/1.9.8 terraform-provider-datastores/2.11.0",
];

/// Numbers that look drawn by lot and are the same each time.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A number in 8 characters, which rise as it does.
fn counted(mut number: u64) -> String {
    let mut text = *b"00000000";
    for sign in text.iter_mut().rev() {
        *sign = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"[(number % 64) as usize];
        number /= 64;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = 1_795_366_800_000_000_i64;
    let paths: Vec<String> = (0..400)
        .map(|number| match number % 4 {
            0 => format!("/api/datastores/{number}"),
            1 => format!("/api/datastores/{number}/objects"),
            2 => format!("/api/projects/{number}/jobs"),
            _ => format!("/api/models/{number}/versions/latest"),
        })
        .collect();
    let ids: Vec<String> =
        (0..ROWS).map(|number| format!("q3VxT0aZ{}", counted(70_000_000 + number))).collect();
    let mut rows: Vec<Row<'_>> = (0..ROWS)
        .map(|number| {
            let chance = mixed(number + 1);
            let token = mixed(chance) % TOKENS;
            let step = 3_600_000_000 / ROWS;
            let kind = if token.is_multiple_of(4) { TokenKind::Service } else { TokenKind::Personal };
            let is_refused = chance.is_multiple_of(50);
            Row {
                time: Timestamp::from_micros(start + (number * step + (chance >> 8) % step) as i64),
                subject: (!chance.is_multiple_of(200)).then(|| Subject {
                    token: TokenId(token as i64),
                    owner: UserId((mixed(token) % 3_000) as i64),
                    kind,
                }),
                at: if token.is_multiple_of(3) { Checkpoint::Gateway } else { Checkpoint::ForwardAuth },
                method: if (chance >> 20) % 10 < 8 { "GET" } else { "POST" },
                path: &paths[(mixed(token * 8 + (chance >> 30) % 8) % 400) as usize],
                refused: is_refused.then_some(Reason::Expired),
                status: Some(if is_refused { 401 } else { 200 }),
                ip: IpAddr::from(
                    (0x0a00_0000 + (mixed(token * 4 + (chance >> 40) % 3) % 20_000) as u32).to_be_bytes(),
                ),
                user_agent: AGENTS[(mixed(token) % 6) as usize],
                request_id: &ids[number as usize],
            }
        })
        .collect();
    rows.sort_unstable_by_key(|row| (row.subject.map(|subject| (subject.owner, subject.token)), row.time));
    let mut writer =
        ArrowWriter::try_new(Vec::new(), Arc::clone(&layout::SCHEMA), Some(layout::properties()))?;
    for rows in rows.chunks(8_192) {
        writer.write(&table::of_rows(rows, "gate-1")?)?;
    }
    let bytes = bytes::Bytes::from(writer.into_inner()?);
    let metadata = ParquetMetaDataReader::new()
        .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Required)
        .parse_and_finish(&bytes)?;
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let size = column.compressed_size() as f64 / ROWS as f64;
        let filter = column.bloom_filter_length().unwrap_or(0);
        println!("{:>6.2} {}, bloom filter {filter} bytes", size, column.column_path());
    }
    println!("{:>6.2} bytes per row in all", bytes.len() as f64 / ROWS as f64);
    println!("{} bytes of memory for the footer", metadata.memory_size());
    Ok(())
}
