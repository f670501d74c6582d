//! Stacked bars: two counts for each hour, day or week. The template draws them as SVG.

use tokenhouse_core::clock::Timestamp;

use super::moment::Moment;
use super::page::Page;
use super::text::grouped;

/// Where the axis and the highest line are, in pixels from above.
const GROUND: f64 = 168.0;
const TOP: f64 = 12.0;

/// Lines above the ground.
const LINES: u64 = 3;

/// About as many bars have a label below.
const LABELS: usize = 6;

/// The least height of a part that has anything, so that a few among very many are seen.
const LEAST: f64 = 3.0;

/// The share of its place that a bar fills.
const FILLED: f64 = 0.66;

/// What is counted, and what each bar is made of: from the ground up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Counted {
    /// What people and automation did.
    Actions,
    /// What was allowed and refused.
    Requests,
}

impl Counted {
    /// What is counted.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Actions => "Actions",
            Self::Requests => "Requests",
        }
    }

    /// What the two parts are called at the head of a column.
    pub(super) const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Actions => ["People", "Automation"],
            Self::Requests => ["Allowed", "Refused"],
        }
    }

    /// The same behind a number.
    pub(super) const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Actions => ["by people", "by automation"],
            Self::Requests => ["allowed", "refused"],
        }
    }

    /// The pattern of the upper part, and its class.
    pub(super) const fn pattern(self) -> &'static str {
        match self {
            Self::Actions => "dash",
            Self::Requests => "hatch",
        }
    }

    /// The class of the upper part.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Actions => "s2",
            Self::Requests => "s3",
        }
    }
}

/// How long a bar is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    Hour,
    Day,
    Week,
}

impl Unit {
    /// Its word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// What stands at the head of the column of the bars.
    pub(super) const fn heading(self) -> &'static str {
        match self {
            Self::Hour => "Hour from",
            Self::Day => "Day",
            Self::Week => "Week from",
        }
    }

    /// The start of a bar, below it.
    pub(super) fn label(self, start: &Moment) -> String {
        match self {
            Self::Hour => start.hour(),
            Self::Day | Self::Week => start.short_day(),
        }
    }

    /// The start of a bar, where nothing else tells its day.
    pub(super) fn told(self, start: &Moment) -> String {
        match self {
            Self::Hour => start.minute(),
            Self::Day | Self::Week => start.day(),
        }
    }
}

/// What one bar stands for.
pub(super) struct Span {
    /// When it begins.
    pub(super) start: Timestamp,
    /// How many there are in its lower and in its upper part.
    pub(super) counts: [u64; 2],
}

/// Everything that is drawn, in the units of the SVG: x in percent, y in pixels.
pub(super) struct Chart {
    pub(super) counted: Counted,
    pub(super) unit: Unit,
    pub(super) bars: Vec<Bar>,
    pub(super) lines: Vec<Line>,
    /// How many there are in all lower and in all upper parts.
    pub(super) totals: [String; 2],
}

/// An hour, day or week.
pub(super) struct Bar {
    pub(super) start: Moment,
    pub(super) lower: u64,
    pub(super) upper: u64,
    /// The place of the bar, and the bar within it.
    pub(super) place: String,
    pub(super) place_width: String,
    pub(super) x: String,
    pub(super) width: String,
    pub(super) middle: String,
    pub(super) lower_y: String,
    pub(super) lower_height: String,
    pub(super) upper_y: String,
    pub(super) upper_height: String,
    pub(super) label: Label,
}

impl Bar {
    /// Whether its start is told below it.
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
    /// The chart of these spans, which follow one another.
    #[allow(clippy::cast_precision_loss, reason = "counts of records and bars")]
    pub(super) fn new(page: &Page, counted: Counted, unit: Unit, spans: &[Span]) -> Self {
        let highest = spans.iter().map(|span| span.counts.iter().sum()).max().unwrap_or(0);
        let step = step(highest);
        let scale = (GROUND - TOP) / (step * LINES) as f64;
        let place = 100.0 / spans.len().max(1) as f64;
        let every = spans.len().div_ceil(LABELS).max(1);
        let bars = spans.iter().enumerate().map(|(number, span)| {
            let [lower, upper] = span.counts;
            let height = |count: u64| if count == 0 { 0.0 } else { (count as f64 * scale).max(LEAST) };
            let (low, high) = (height(lower), height(upper));
            let left = number as f64 * place;
            let from_last = spans.len() - 1 - number;
            Bar {
                start: page.moment(span.start),
                lower,
                upper,
                place: format!("{left:.2}"),
                place_width: format!("{place:.2}"),
                x: format!("{:.2}", left + place * (1.0 - FILLED) / 2.0),
                width: format!("{:.2}", place * FILLED),
                middle: format!("{:.2}", left + place / 2.0),
                lower_y: format!("{:.1}", GROUND - low),
                lower_height: format!("{low:.1}"),
                upper_y: format!("{:.1}", GROUND - low - high),
                upper_height: format!("{high:.1}"),
                label: match (from_last % every, from_last % (2 * every)) {
                    (0, 0) => Label::Always,
                    (0, _) => Label::Wide,
                    _ => Label::No,
                },
            }
        });
        let total = |part: usize| grouped(spans.iter().map(|span| span.counts[part]).sum());
        let line = |number: u64| {
            let y = GROUND - (number * step) as f64 * scale;
            Line { y: format!("{y:.1}"), text_y: format!("{:.1}", y + 4.0), figure: grouped(number * step) }
        };
        Self {
            counted,
            unit,
            bars: bars.collect(),
            lines: (0..=LINES).map(line).collect(),
            totals: [total(0), total(1)],
        }
    }

    /// `Requests per hour`
    pub(super) fn title(&self) -> String {
        format!("{} per {}", self.counted.title(), self.unit.word())
    }

    /// The start of its first bar.
    pub(super) fn first(&self) -> String {
        self.bars.first().map(|bar| self.unit.told(&bar.start)).unwrap_or_default()
    }

    /// The start of its last bar.
    pub(super) fn last(&self) -> String {
        self.bars.last().map(|bar| self.unit.told(&bar.start)).unwrap_or_default()
    }
}

/// The distance of two lines: 1, 2 or 5 times a power of ten, so that the highest bar fits below the last.
fn step(highest: u64) -> u64 {
    let mut power = 1_u64;
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
            (i64::MAX.unsigned_abs(), 5_000_000_000_000_000_000),
        ] {
            assert_eq!(step(highest), distance, "{highest}");
        }
    }
}
