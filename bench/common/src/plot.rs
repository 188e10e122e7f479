// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Charts in SVG files.

use std::path::Path;

use anyhow::anyhow;
use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use plotters::style::text_anchor::Pos;
use plotters::style::text_anchor::VPos;

use crate::size;

/// Colors that people with any kind of color vision can distinguish (Okabe and Ito, 2008).
const COLORS: [RGBColor; 6] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];
/// The color of what computes no checksum.
const LIMIT: RGBColor = RGBColor(153, 153, 153);

/// The size of a chart of lines, in pixels.
const LINES: (u32, u32) = (640, 400);
/// The width of a chart of bars, the height of a bar, and the height of what is around the bars.
const BARS: u32 = 900;
const BAR: u32 = 24;
const AROUND: u32 = 120;

/// Rates of several contenders. The chart shows bars if each contender has one point, and otherwise
/// lines over the length of the data.
pub struct Chart {
    pub title: String,
    pub unit: &'static str,
    pub series: Vec<Series>,
}

/// The rates of a contender.
pub struct Series {
    /// The part before a comma determines the color.
    pub name: String,
    /// Whether it computes no checksum.
    pub limit: bool,
    /// Lengths and rates.
    pub points: Vec<(f64, f64)>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws rows of charts.
pub fn draw(rows: &[Vec<Chart>], file: &Path) -> Result<()> {
    let width = |row: &Vec<Chart>| row.iter().map(|chart| chart.size().0).sum();
    let height = |row: &Vec<Chart>| row.iter().map(|chart| chart.size().1).max().unwrap_or(0);
    let size = (
        rows.iter().map(width).max().unwrap_or(0),
        rows.iter().map(height).sum(),
    );
    let mut rest = SVGBackend::new(file, size).into_drawing_area();
    rest.fill(&WHITE)?;
    for row in rows {
        let area;
        (area, rest) = rest.split_vertically(height(row));
        for (chart, area) in row.iter().zip(area.split_evenly((1, row.len()))) {
            chart
                .draw(&area)
                .map_err(|error| anyhow!("cannot draw {}: {error}", chart.title))?;
        }
    }
    rest.present()?;
    Ok(())
}

impl Chart {
    fn has_bars(&self) -> bool {
        self.series.iter().all(|series| series.points.len() == 1)
    }

    fn size(&self) -> (u32, u32) {
        match self.has_bars() {
            true => (BARS, BAR * self.series.len() as u32 + AROUND),
            false => LINES,
        }
    }

    fn draw(&self, area: &Area) -> Result<()> {
        let mut builder = ChartBuilder::on(area);
        builder
            .caption(&self.title, ("sans-serif", 18))
            .margin(12)
            .margin_right(32);
        match self.has_bars() {
            true => self.draw_bars(area, builder.x_label_area_size(50).y_label_area_size(240)),
            false => self.draw_lines(builder.x_label_area_size(40).y_label_area_size(56)),
        }
    }

    /// Returns the highest rate.
    fn most(&self) -> f64 {
        let points = self.series.iter().flat_map(|series| &series.points);
        points.map(|&(_, rate)| rate).fold(0.0, f64::max)
    }

    /// Returns the series with their colors.
    fn colored(&self) -> impl Iterator<Item = (&Series, RGBColor)> {
        let mut families = Vec::new();
        self.series.iter().map(move |series| {
            let family = series.name.split(',').next();
            if series.limit {
                return (series, LIMIT);
            }
            let number = families
                .iter()
                .position(|&known| known == family)
                .unwrap_or_else(|| {
                    families.push(family);
                    families.len() - 1
                });
            (series, COLORS[number % COLORS.len()])
        })
    }

    fn draw_bars(&self, area: &Area, builder: &mut ChartBuilder<SVGBackend>) -> Result<()> {
        let count = self.series.len();
        let rows = (0..count - 1).into_segmented();
        let mut chart = builder.build_cartesian_2d(0.0..self.most() * 1.1, rows)?;
        // The first bar is at the top.
        let number = |row: usize| count - 1 - row;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.1))
            .y_labels(count)
            .y_label_formatter(&|row| match row {
                SegmentValue::CenterOf(row) => self.series[number(*row)].name.clone(),
                _ => String::new(),
            })
            .x_desc(self.unit)
            .draw()?;
        chart.draw_series(self.colored().enumerate().map(|(bar, (series, color))| {
            let end = match bar {
                0 => SegmentValue::Last,
                _ => SegmentValue::Exact(number(bar) + 1),
            };
            let corners = [
                (0.0, SegmentValue::Exact(number(bar))),
                (series.points[0].1, end),
            ];
            let mut bar = Rectangle::new(corners, color.filled());
            bar.set_margin(3, 3, 0, 0);
            bar
        }))?;
        let style = ("sans-serif", 12).into_text_style(area);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        chart.draw_series(self.series.iter().enumerate().map(|(bar, series)| {
            let rate = series.points[0].1;
            let place = (rate, SegmentValue::CenterOf(number(bar)));
            Text::new(format!(" {rate:.1}"), place, style.clone())
        }))?;
        Ok(())
    }

    fn draw_lines(&self, builder: &mut ChartBuilder<SVGBackend>) -> Result<()> {
        let points = &self.series[0].points;
        let lengths = points[0].0..points[points.len() - 1].0;
        let rates = 1.0..self.most() * 1.2;
        let mut chart =
            builder.build_cartesian_2d(lengths.log_scale().base(4.0), rates.log_scale())?;
        chart
            .configure_mesh()
            .x_desc("length of the data")
            .y_desc(self.unit)
            .x_label_formatter(&|bytes| size(*bytes as usize))
            .y_label_formatter(&|rate| format!("{rate:.0}"))
            .light_line_style(WHITE)
            .draw()?;
        for (number, (series, color)) in self.colored().enumerate() {
            let style = color.stroke_width(if number == 0 { 3 } else { 2 });
            chart
                .draw_series(LineSeries::new(series.points.iter().copied(), style))?
                .label(&series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .draw()?;
        Ok(())
    }
}
