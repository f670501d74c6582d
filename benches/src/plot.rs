//! Plots over the number of tokens or nodes, as SVG.

use std::path::Path;

use plotters::prelude::*;
use serde_json::Value;

use crate::Failure;

const SIZE: (u32, u32) = (880, 500);
const FONT: &str = "sans-serif";

/// Colours that people who see few colours can tell apart (those of Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(80, 80, 80),
];

/// What is drawn.
pub struct Plot {
    /// What it shows.
    pub title: &'static str,
    /// What is counted to the right.
    pub of: &'static str,
    /// What is counted upwards.
    pub unit: &'static str,
    /// What it shows it of.
    pub lines: Vec<Line>,
    /// Name of the file.
    pub file: &'static str,
}

/// A cost over a number.
pub struct Line {
    /// What it is the cost of.
    pub name: String,
    points: Vec<(f64, f64)>,
}

impl Line {
    /// Without points yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), points: Vec::new() }
    }

    /// Adds a point; what is no number is left out.
    pub fn put(&mut self, number: f64, cost: &Value) {
        if let Some(cost) = cost.as_f64() {
            self.points.push((number, cost));
            self.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
    }
}

impl Plot {
    /// Draws it into a file.
    ///
    /// # Errors
    /// Also where there is nothing to draw.
    pub fn draw(&self, file: &Path) -> Result<(), Failure> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        let most = points().map(|(_, cost)| cost).reduce(f64::max);
        let first = points().map(|(number, _)| number).reduce(f64::min);
        let last = points().map(|(number, _)| number).reduce(f64::max);
        let (Some(most), Some(first), Some(last)) = (most, first, last) else {
            return Err(format!("there are no figures for {}", self.file).into());
        };
        let area = SVGBackend::new(file, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, (FONT, 22))
            .margin(18)
            .x_label_area_size(48)
            .y_label_area_size(70)
            // Room for the names above the lines, and for the outer points.
            .build_cartesian_2d((first * 0.8..last * 1.25).log_scale(), 0.0..most * 1.5)?;
        chart
            .configure_mesh()
            .x_desc(self.of)
            .y_desc(self.unit)
            // More would stand on each other between two powers of ten.
            .x_labels(5)
            .x_label_formatter(&|number| count(*number))
            .y_label_formatter(&|cost| number(*cost))
            .label_style((FONT, 14))
            .axis_desc_style((FONT, 16))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
            chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.9))
            .label_font((FONT, 14))
            .draw()?;
        Ok(area.present()?)
    }
}

/// `1 k`, `10 M`.
fn count(number: f64) -> String {
    if number >= 1e6 {
        format!("{:.0} M", number / 1e6)
    } else if number >= 1e3 {
        format!("{:.0} k", number / 1e3)
    } else {
        format!("{number:.0}")
    }
}

/// With as many digits as a scale needs.
fn number(cost: f64) -> String {
    if cost >= 10.0 || cost == 0.0 { format!("{cost:.0}") } else { format!("{cost:.1}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_no_figures_is_not_drawn_as_if_it_cost_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plot.svg");
        let mut line = Line::new("a line");
        line.put(1_000.0, &Value::Null);
        let mut plot =
            Plot { title: "Title", of: "tokens", unit: "seconds", lines: vec![line], file: "plot.svg" };
        assert!(plot.draw(&file).is_err());
        plot.lines[0].put(10_000_000.0, &json!(3.5));
        plot.lines[0].put(1_000.0, &json!(2.5));
        plot.draw(&file).unwrap();
        let drawn = std::fs::read_to_string(&file).unwrap();
        for text in ["Title", "a line", "seconds", "tokens", "10 k", "10 M"] {
            assert!(drawn.contains(text), "{text}");
        }
    }
}
