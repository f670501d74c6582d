//! Medians, tables and JSON.
#![allow(clippy::print_stdout, reason = "prints figures")]

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Failure;

/// What several rounds gave.
#[derive(Clone, Debug)]
pub struct Rounds(Vec<f64>);

impl Rounds {
    /// The figures, at least one, in any order.
    pub fn new(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<_> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// The middle one; of an even number the upper of both in the middle.
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The smallest.
    pub fn least(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    /// The largest.
    pub fn most(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    /// So much of all, 0.99 for 99 of 100, are not above this.
    pub fn percentile(&self, share: f64) -> f64 {
        nearest_rank(&self.0, share).copied().unwrap_or(f64::NAN)
    }

    /// `median (least–most)` with so many digits after the point; nothing where there is no figure.
    pub fn text(&self, digits: usize) -> String {
        if self.median().is_nan() {
            return String::new();
        }
        format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median(), self.least(), self.most())
    }

    /// The same for JSON.
    pub fn json(&self) -> Value {
        serde_json::json!({ "median": self.median(), "min": self.least(), "max": self.most(), "rounds": self.0.len() })
    }
}

/// The figure, of sorted ones, that so much of all are not above.
pub fn nearest_rank<T>(sorted: &[T], share: f64) -> Option<&T> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let position = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(position.clamp(1, sorted.len().max(1)) - 1)
}

/// Prints rows in columns, the first row as the head.
pub fn print<const N: usize>(rows: &[[String; N]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column)));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// Writes figures as `<name>.json` into a folder, which is made if it isn't there.
pub fn write(folder: &Path, name: &str, figures: &Value) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    Ok(fs::write(folder.join(format!("{name}.json")), format!("{figures:#}\n"))?)
}
