// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The figures as a picture.

use std::path::Path;

use anyhow::anyhow;
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use plotters::style::text_anchor::Pos;
use plotters::style::text_anchor::VPos;

use bench_common::contender::Group;

/// Width of the picture, height of a bar with the room around it, and of what is above and below
/// the bars, in pixels.
const WIDTH: u32 = 900;
const BAR: u32 = 24;
const AROUND: u32 = 120;

/// Colours by the first word of a name, to be told apart with any kind of colour vision (Okabe and
/// Ito, 2008).
const COLOURS: [(&str, RGBColor); 4] = [
    ("device", RGBColor(213, 94, 0)),
    ("AF_ALG", RGBColor(230, 159, 0)),
    ("program", RGBColor(0, 114, 178)),
    ("libdeflate", RGBColor(0, 158, 115)),
];
/// The colour of what computes no checksum.
const LIMIT: RGBColor = RGBColor(153, 153, 153);

/// Draws the best figures of each group as bars, group below group.
pub fn draw(kernel: &str, groups: &[Group], file: &Path) -> Result<()> {
    let heights: Vec<_> = groups
        .iter()
        .map(|group| BAR * group.figures.len() as u32 + AROUND)
        .collect();
    let size = (WIDTH, heights.iter().sum());
    let mut rest = SVGBackend::new(file, size).into_drawing_area();
    rest.fill(&WHITE)?;
    for (group, height) in groups.iter().zip(heights) {
        let area;
        (area, rest) = rest.split_vertically(height);
        bars(&area, kernel, group).map_err(|error| anyhow!("{}: {error}", group.title))?;
    }
    rest.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn bars(area: &Area, kernel: &str, group: &Group) -> Result<()> {
    let count = group.figures.len();
    let value = |number: usize| group.value(group.figures[number].rates.best);
    let most = (0..count).map(value).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{}, kernel {kernel}", group.title),
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(50)
        .y_label_area_size(240)
        .build_cartesian_2d(0.0..most * 1.1, (0..count - 1).into_segmented())?;
    // The first is to be on top.
    let number = |row: usize| count - 1 - row;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.1))
        .y_labels(count)
        .y_label_formatter(&|row| match row {
            SegmentValue::CenterOf(row) => group.figures[number(*row)].name.to_owned(),
            _ => String::new(),
        })
        .x_desc(group.unit())
        .draw()?;
    let end = |row| match row + 1 {
        next if next < count => SegmentValue::Exact(next),
        _ => SegmentValue::Last,
    };
    chart.draw_series((0..count).map(|row| {
        let (name, value) = (group.figures[number(row)].name, value(number(row)));
        let colour = COLOURS
            .iter()
            .find(|(word, _)| name.split(',').next() == Some(word))
            .map_or(LIMIT, |(_, colour)| *colour);
        let corners = [(0.0, SegmentValue::Exact(row)), (value, end(row))];
        let mut bar = Rectangle::new(corners, colour.filled());
        bar.set_margin(3, 3, 0, 0);
        bar
    }))?;
    let style = ("sans-serif", 12)
        .into_text_style(area)
        .pos(Pos::new(HPos::Left, VPos::Center));
    chart.draw_series((0..count).map(|row| {
        let value = value(number(row));
        let place = (value, SegmentValue::CenterOf(row));
        Text::new(format!(" {value:.1}"), place, style.clone())
    }))?;
    Ok(())
}
