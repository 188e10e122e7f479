// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The figures as a picture.

use std::path::Path;

use anyhow::anyhow;
use anyhow::Result;
use plotters::prelude::*;

use crate::contender::Level;
use crate::contender::Mode;
use crate::contender::Role;
use crate::measure::Figure;
use crate::report;

/// Size of a chart, in pixels.
const CHART: (u32, u32) = (640, 400);

/// Colours of the peers, to be told apart with any kind of colour vision (Okabe and Ito, 2008).
const PEERS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// Draws a row of charts for each of ours: it, the peers of its class and the plain read, on aligned
/// data, in independent calls and in dependent ones.
pub fn draw(figures: &[Figure], file: &Path) -> Result<()> {
    let ours: Vec<_> = report::lines(figures, |figure| &figure.name)
        .into_iter()
        .map(|line| line[0])
        .filter(|figure| matches!(figure.role, Role::Ours(_)))
        .collect();
    let (columns, rows) = (Mode::ALL.len(), ours.len());
    let size = (CHART.0 * columns as u32, CHART.1 * rows as u32);
    let root = SVGBackend::new(file, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (areas, ours) in root.split_evenly((rows, columns)).chunks(columns).zip(ours) {
        for (area, mode) in areas.iter().zip(Mode::ALL) {
            let shown: Vec<_> = figures
                .iter()
                .filter(|figure| figure.mode == mode && figure.offset == 0)
                .filter(|figure| beside(figure, ours))
                .collect();
            chart(area, &format!("{}: {mode} calls", ours.name), &shown)
                .map_err(|error| anyhow!("cannot draw {}: {error}", file.display()))?;
        }
    }
    root.present()?;
    Ok(())
}

/// Returns whether a figure is shown in the charts of one of ours.
fn beside(figure: &Figure, ours: &Figure) -> bool {
    match (figure.role, ours.role) {
        (Role::Ours(_), _) => figure.name == ours.name,
        (Role::Peer(level), Role::Ours(class)) => level == class,
        // Far above what general registers can do.
        (Role::Limit, Role::Ours(class)) => report::is_read(figure) && class != Level::General,
        _ => false,
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn chart(area: &Area, title: &str, figures: &[&Figure]) -> Result<()> {
    let lines = report::lines(figures.iter().copied(), |figure| &figure.name);
    let sizes: Vec<_> = lines[0].iter().map(|figure| figure.bytes as f64).collect();
    let rates = figures.iter().map(|figure| figure.best_gb_s);
    let most = rates.fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(32)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(
            (sizes[0]..sizes[sizes.len() - 1]).log_scale().base(4.0),
            (1.0..most * 1.2).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("length of the data")
        .y_desc("GB/s")
        .x_label_formatter(&|bytes| report::size(*bytes as usize))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    let mut colours = PEERS.into_iter().cycle();
    for line in lines {
        let style = match line[0].role {
            Role::Ours(_) => RED.stroke_width(3),
            Role::Limit => BLACK.mix(0.4).stroke_width(1),
            Role::Peer(_) => colours.next().unwrap_or(BLACK).stroke_width(2),
        };
        let points = line.iter().map(|f| (f.bytes as f64, f.best_gb_s));
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(&line[0].name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}
