//! Stacked bars: what people and automation did, day by day. The template draws them as SVG.

use tokenhouse_store::audit::Day;

use crate::ui::moment::Moment;
use crate::ui::page::Page;
use crate::ui::text::grouped;

/// More days than this are drawn as weeks.
const MOST_DAYS: usize = 92;

/// Where the axis and the highest line are, in pixels from above.
const GROUND: f64 = 168.0;
const TOP: f64 = 12.0;

/// Lines above the ground.
const LINES: i64 = 3;

/// About as many bars have a label below.
const LABELS: usize = 6;

/// The share of its place that a bar fills.
const FILLED: f64 = 0.66;

/// Everything that is drawn, in the units of the SVG: x in percent, y in pixels.
pub(super) struct Chart {
    /// `day` or `week`.
    pub(super) unit: &'static str,
    pub(super) bars: Vec<Bar>,
    pub(super) lines: Vec<Line>,
    pub(super) people: String,
    pub(super) automation: String,
}

/// A day or week.
pub(super) struct Bar {
    pub(super) start: Moment,
    pub(super) people: i64,
    pub(super) automation: i64,
    /// The place of the bar, and the bar within it.
    pub(super) place: String,
    pub(super) place_width: String,
    pub(super) x: String,
    pub(super) width: String,
    pub(super) middle: String,
    pub(super) people_y: String,
    pub(super) people_height: String,
    pub(super) automation_y: String,
    pub(super) automation_height: String,
    pub(super) label: Label,
}

impl Bar {
    /// Whether its day is told below it.
    pub(super) fn is_labelled(&self) -> bool {
        self.label != Label::No
    }

    /// Whether that is left out where there is little room.
    pub(super) fn is_minor(&self) -> bool {
        self.label == Label::Wide
    }
}

/// Whether a bar has a label.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    No,
    Always,
    /// Where there is room.
    Wide,
}

/// A line with its figure.
pub(super) struct Line {
    pub(super) y: String,
    pub(super) text_y: String,
    pub(super) figure: String,
}

impl Chart {
    /// The chart of these days.
    #[allow(clippy::cast_precision_loss, reason = "counts of records and bars")]
    pub(super) fn of(page: &Page, days: &[Day]) -> Self {
        let (unit, size) = if days.len() > MOST_DAYS { ("week", 7) } else { ("day", 1) };
        // The newest one is whole.
        let spans: Vec<&[Day]> = days.rchunks(size).rev().collect();
        let sums = spans.iter().map(|span| {
            let sum = |count: fn(&Day) -> i64| span.iter().map(count).sum::<i64>();
            (span[0].start, sum(|day| day.user), sum(|day| day.automated))
        });
        let sums: Vec<_> = sums.collect();
        let highest = sums.iter().map(|(_, people, automation)| people + automation).max().unwrap_or(0);
        let step = step(highest);
        let scale = (GROUND - TOP) / (step * LINES) as f64;
        let place = 100.0 / sums.len().max(1) as f64;
        let every = sums.len().div_ceil(LABELS).max(1);
        let bars = sums.iter().enumerate().map(|(number, &(start, people, automation))| {
            let (low, high) = (people as f64 * scale, automation as f64 * scale);
            let left = number as f64 * place;
            let from_last = sums.len() - 1 - number;
            Bar {
                start: page.moment(start),
                people,
                automation,
                place: format!("{left:.2}"),
                place_width: format!("{place:.2}"),
                x: format!("{:.2}", left + place * (1.0 - FILLED) / 2.0),
                width: format!("{:.2}", place * FILLED),
                middle: format!("{:.2}", left + place / 2.0),
                people_y: format!("{:.1}", GROUND - low),
                people_height: format!("{low:.1}"),
                automation_y: format!("{:.1}", GROUND - low - high),
                automation_height: format!("{high:.1}"),
                label: match (from_last % every, from_last % (2 * every)) {
                    (0, 0) => Label::Always,
                    (0, _) => Label::Wide,
                    _ => Label::No,
                },
            }
        });
        let total = |of: fn(&Day) -> i64| grouped(days.iter().map(of).sum::<i64>().unsigned_abs());
        let line = |number: i64| {
            let y = GROUND - (number * step) as f64 * scale;
            let figure = grouped((number * step).unsigned_abs());
            Line { y: format!("{y:.1}"), text_y: format!("{:.1}", y + 4.0), figure }
        };
        Self {
            unit,
            bars: bars.collect(),
            lines: (0..=LINES).map(line).collect(),
            people: total(|day| day.user),
            automation: total(|day| day.automated),
        }
    }

    /// The day it begins with.
    pub(super) fn first(&self) -> String {
        self.bars.first().map(|bar| bar.start.day()).unwrap_or_default()
    }

    /// The start of its last bar.
    pub(super) fn last(&self) -> String {
        self.bars.last().map(|bar| bar.start.day()).unwrap_or_default()
    }
}

/// The distance of two lines: 1, 2 or 5 times a power of ten, so that the highest bar fits below the last.
fn step(highest: i64) -> i64 {
    let mut power = 1_i64;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if step.saturating_mul(LINES) >= highest {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_at_round_figures_above_the_highest_bar() {
        for (highest, distance) in [
            (0, 1),
            (1, 1),
            (3, 1),
            (4, 2),
            (6, 2),
            (7, 5),
            (16, 10),
            (48, 20),
            (151, 100),
            (i64::MAX, 5_000_000_000_000_000_000),
        ] {
            assert_eq!(step(highest), distance, "{highest}");
        }
    }
}
