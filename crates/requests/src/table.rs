//! Rows as columns, and back.

use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType, UInt16Type};
use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt16Array,
};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::token::TokenKind;
use tokenhouse_core::verdict::Subject;

use crate::error::Error;
use crate::layout::{SCHEMA, column};
use crate::row::{Request, Row};

/// What stands in `reason` of a request that was allowed.
pub(crate) const OK: &str = "ok";

/// An address as it stands in files.
pub(crate) fn ip_text(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

const fn kind_text(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Personal => "personal",
        TokenKind::Service => SERVICE,
    }
}

/// What stands in `kind` for a service token.
pub(crate) const SERVICE: &str = "service";

/// The rows of a node as columns.
pub(crate) fn of_rows(rows: &[Row<'_>], node: &str) -> Result<RecordBatch, Error> {
    fn texts<'a>(rows: &'a [Row<'_>], text: impl Fn(&'a Row<'a>) -> &'a str) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
    }
    let number = |number: fn(Subject) -> i64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.subject.map(number)).collect::<Int64Array>())
    };
    let kinds = rows.iter().map(|row| row.subject.map(|subject| kind_text(subject.kind)));
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.time.micros()));
    let columns: Vec<ArrayRef> = vec![
        number(|subject| subject.owner.0),
        number(|subject| subject.token.0),
        Arc::new(kinds.collect::<StringArray>()),
        Arc::new(times.with_timezone("UTC")),
        texts(rows, |row| row.at.as_str()),
        texts(rows, |row| row.method),
        texts(rows, |row| row.path),
        texts(rows, |row| row.refused.map_or(OK, |reason| reason.as_str())),
        Arc::new(rows.iter().map(|row| row.status).collect::<UInt16Array>()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| ip_text(row.ip)))),
        texts(rows, |row| row.user_agent),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| node))),
        texts(rows, |row| row.request_id),
    ];
    RecordBatch::try_new(Arc::clone(&SCHEMA), columns).map_err(Error::storage)
}

/// Some of a file's columns, of some of its rows.
pub(crate) struct Table {
    batch: RecordBatch,
    /// Where each column of the file is in the batch.
    places: [Option<usize>; column::COUNT],
}

impl Table {
    /// `columns` are those that the batch has, rising.
    pub(crate) fn new(batch: RecordBatch, columns: &[usize]) -> Self {
        let mut places = [None; column::COUNT];
        for (place, column) in columns.iter().enumerate() {
            places[*column] = Some(place);
        }
        Self { batch, places }
    }

    pub(crate) const fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn array(&self, column: usize) -> Option<&ArrayRef> {
        self.places[column].and_then(|place| self.batch.columns().get(place))
    }

    /// The text of a row; empty where there is none.
    pub(crate) fn text(&self, column: usize, row: usize) -> &str {
        let array = self.array(column).and_then(|array| array.as_string_opt::<i32>());
        array.filter(|array| array.is_valid(row)).map_or("", |array| array.value(row))
    }

    /// When it was.
    pub(crate) fn time(&self, row: usize) -> Timestamp {
        let array =
            self.array(column::TIME).and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>());
        Timestamp::from_micros(array.map_or(0, |array| array.value(row)))
    }

    /// A token's or an owner's number.
    pub(crate) fn number(&self, column: usize, row: usize) -> Option<i64> {
        let array = self.array(column).and_then(|array| array.as_primitive_opt::<Int64Type>())?;
        array.is_valid(row).then(|| array.value(row))
    }

    fn status(&self, row: usize) -> Option<u16> {
        let array = self.array(column::STATUS).and_then(|array| array.as_primitive_opt::<UInt16Type>())?;
        array.is_valid(row).then(|| array.value(row))
    }

    /// Whether it was allowed.
    pub(crate) fn is_allowed(&self, row: usize) -> bool {
        self.text(column::REASON, row) == OK
    }

    /// Which token and whose.
    pub(crate) fn subject(&self, row: usize) -> Option<Subject> {
        Some(Subject {
            token: TokenId(self.number(column::TOKEN, row)?),
            owner: UserId(self.number(column::OWNER, row)?),
            kind: match self.text(column::KIND, row) {
                SERVICE => TokenKind::Service,
                _ => TokenKind::Personal,
            },
        })
    }

    /// A row of a batch that has all columns.
    pub(crate) fn request(&self, row: usize) -> Request {
        let text = |column| self.text(column, row).to_owned();
        Request {
            time: self.time(row),
            subject: self.subject(row),
            via: text(column::VIA),
            method: text(column::METHOD),
            path: text(column::PATH),
            refused: (!self.is_allowed(row)).then(|| text(column::REASON)),
            status: self.status(row),
            ip: text(column::IP),
            user_agent: text(column::USER_AGENT),
            node: text(column::NODE),
            request_id: text(column::REQUEST_ID),
        }
    }

    /// What files are sorted by.
    pub(crate) fn place_in_files(&self, row: usize) -> (Option<i64>, Option<i64>, Timestamp, &str) {
        let number = |column| self.number(column, row);
        (number(column::OWNER), number(column::TOKEN), self.time(row), self.text(column::REQUEST_ID, row))
    }
}
