// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tables on standard output.

/// Makes a row of anything that can be displayed.
#[macro_export]
macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$($cell.to_string()),*] };
}

/// Prints rows, of which the first is the head. Columns that contain numbers are aligned to the
/// right.
pub fn print(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cells = |column| {
        rows.iter()
            .map(move |row| row.get(column).map_or("", String::as_str))
    };
    let layout: Vec<_> = (0..columns)
        .map(|column| {
            let width = cells(column).map(|cell| cell.chars().count()).max();
            let number = column > 0
                && cells(column)
                    .skip(1)
                    .any(|cell| cell.starts_with(|c: char| c.is_ascii_digit()));
            (width.unwrap_or(0), number)
        })
        .collect();
    for row in rows {
        let mut line = String::new();
        for (cell, &(width, number)) in row.iter().zip(&layout) {
            line += &match number {
                true => format!("{cell:>width$}  "),
                false => format!("{cell:<width$}  "),
            };
        }
        println!("{}", line.trim_end());
    }
}
