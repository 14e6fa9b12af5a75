//! Drawing: panels of lines beside each other, and bars.
//!
//! On white, so that the text is readable on dark pages as well; in colours that colour-blind readers can distinguish.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::number::short;

/// The server's own commands.
pub const STOCK: RGBColor = RGBColor(213, 94, 0);
/// The module's.
pub const SHADOW: RGBColor = RGBColor(0, 114, 178);
/// Neither.
pub const NEITHER: RGBColor = RGBColor(110, 110, 110);
/// Of servers, which have equal rank.
pub const RANKS: [RGBColor; 4] = [SHADOW, RGBColor(0, 158, 115), RGBColor(230, 159, 0), RGBColor(204, 121, 167)];

const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(222, 222, 222);

const WIDTH: u32 = 1_080;
/// Of the title and the legend.
const HEAD: u32 = 66;
/// Of a row of panels.
const PANELS: u32 = 340;
/// Of one bar.
const BAR: i32 = 12;
const TEXT: i32 = 14;
/// About the width of a character.
const CHARACTER: i32 = 8;

pub type Drawn = Result<(), Box<dyn Error>>;

/// A line of the legend.
pub struct Style {
    pub name: String,
    pub colour: RGBColor,
    pub dashed: bool,
}

/// A line in a panel.
pub struct Line {
    /// Its place in the legend.
    pub style: usize,
    pub points: Vec<(f64, f64)>,
    /// The smallest and the largest value at each point, if they are drawn.
    pub spreads: Vec<(f64, f64)>,
    /// Whether its points are few enough to be marked.
    pub marked: bool,
}

/// A chart among others with the same axes.
pub struct Panel {
    pub title: String,
    pub lines: Vec<Line>,
}

/// An axis and its unit.
pub struct Axis {
    pub label: &'static str,
    pub range: Range<f64>,
}

/// Both axes of a figure: logarithmic or linear.
pub enum Axes {
    Logarithmic(Axis, Axis),
    Linear(Axis, Axis),
}

/// Panels beside each other: more would be too narrow to read.
const ABREAST: usize = 3;

/// Draws panels beside each other, in as many rows as they need.
pub fn lines(path: &Path, title: &str, styles: &[Style], axes: &Axes, panels: &[Panel]) -> Drawn {
    let rows = panels.len().div_ceil(ABREAST);
    let root = SVGBackend::new(path, (WIDTH, HEAD + PANELS * rows as u32)).into_drawing_area();
    let body = head(&root, title, styles)?;
    for (area, panel) in body.split_evenly((rows, panels.len().div_ceil(rows))).iter().zip(panels) {
        match axes {
            Axes::Logarithmic(x, y) => draw_panel(
                area,
                panel,
                styles,
                [x.label, y.label],
                x.range.clone().log_scale(),
                y.range.clone().log_scale(),
            )?,
            Axes::Linear(x, y) => {
                draw_panel(area, panel, styles, [x.label, y.label], x.range.clone(), y.range.clone())?
            }
        }
    }
    Ok(root.present()?)
}

/// Draws the title and the legend; what is left.
fn head<'a>(
    root: &DrawingArea<SVGBackend<'a>, Shift>,
    title: &str,
    styles: &[Style],
) -> Result<DrawingArea<SVGBackend<'a>, Shift>, Box<dyn Error>> {
    root.fill(&WHITE)?;
    root.draw(&Text::new(title.to_owned(), (20, 12), ("sans-serif", 18).into_font().color(&INK)))?;
    let mut left = 20;
    for style in styles {
        let sample = if style.dashed { vec![(0, 11), (14, 25)] } else { vec![(0, 25)] };
        for (from, to) in sample {
            let ends = [(left + from, 47), (left + to, 47)];
            root.draw(&PathElement::new(ends, style.colour.stroke_width(3)))?;
        }
        root.draw(&Text::new(style.name.clone(), (left + 32, 47), text().pos(Pos::new(HPos::Left, VPos::Center))))?;
        left += 56 + style.name.chars().count() as i32 * CHARACTER;
    }
    Ok(root.split_vertically(HEAD).1)
}

fn text() -> TextStyle<'static> {
    ("sans-serif", TEXT).into_font().color(&INK)
}

fn draw_panel<'a, X, Y>(
    area: &DrawingArea<SVGBackend<'a>, Shift>,
    panel: &Panel,
    styles: &[Style],
    labels: [&str; 2],
    x: X,
    y: Y,
) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(22)
        .x_label_area_size(42)
        .y_label_area_size(70)
        .caption(&panel.title, ("sans-serif", 16).into_font().color(&INK))
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc(labels[0])
        .y_desc(labels[1])
        .label_style(text())
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .x_labels(6)
        .y_labels(8)
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .draw()?;
    for line in &panel.lines {
        let Style { colour, dashed, .. } = styles[line.style];
        let points = line.points.clone();
        if dashed {
            chart.draw_series(DashedLineSeries::new(points, 7, 5, colour.stroke_width(2)))?;
        } else {
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        }
        if line.marked {
            chart.draw_series(line.points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
        }
        let ends = line.points.iter().zip(&line.spreads);
        chart.draw_series(ends.map(|(&(at, _), &(low, high))| PathElement::new([(at, low), (at, high)], colour)))?;
    }
    Ok(())
}

/// The text at a tick of an axis.
fn tick(value: &f64) -> String {
    match *value {
        value if value < 0.0 => format!("-{}", short(-value as usize)),
        value if value == 0.0 || value >= 1.0 => short(value as usize),
        value => value.to_string(),
    }
}

/// A group of bars, one for each style.
pub struct Group {
    pub name: String,
    pub values: Vec<f64>,
}

/// Draws horizontal bars in groups, with a line at 1.
pub fn bars(path: &Path, title: &str, styles: &[Style], groups: &[Group], unit: &str) -> Drawn {
    const LEFT: i32 = 260;
    const FOOT: i32 = 48;
    let step = styles.len() as i32 * BAR + 10;
    let bottom = step * groups.len() as i32;
    let root = SVGBackend::new(path, (WIDTH, HEAD + (bottom + FOOT) as u32)).into_drawing_area();
    let body = head(&root, title, styles)?;
    let longest = groups.iter().flat_map(|group| group.values.iter().copied()).fold(1.0, f64::max);
    let longest = (longest * 2.0).ceil() / 2.0;
    let width = f64::from(WIDTH as i32 - LEFT - 70);
    let place = |value: f64| LEFT + (value / longest * width) as i32;

    let ticks = (0..=(longest * 2.0) as i32).map(|half| f64::from(half) / 2.0);
    for value in ticks {
        let (colour, wide) = if value == 1.0 { (INK, 2) } else { (GRID, 1) };
        let ends = [(place(value), 0), (place(value), bottom)];
        body.draw(&PathElement::new(ends, colour.stroke_width(wide)))?;
        let style = text().pos(Pos::new(HPos::Center, VPos::Top));
        body.draw(&Text::new(format!("{value}x"), (place(value), bottom + 6), style))?;
    }
    let middle = (place(longest / 2.0), bottom + 26);
    body.draw(&Text::new(unit.to_owned(), middle, text().pos(Pos::new(HPos::Center, VPos::Top))))?;
    for (number, group) in (0..).zip(groups) {
        let top = number * step + 5;
        let middle = (LEFT - 10, top + (step - 10) / 2);
        body.draw(&Text::new(group.name.clone(), middle, text().pos(Pos::new(HPos::Right, VPos::Center))))?;
        for (row, (value, style)) in (0..).zip(group.values.iter().zip(styles)) {
            let top = top + row * BAR;
            let corners = [(LEFT, top), (place(*value), top + BAR - 2)];
            body.draw(&Rectangle::new(corners, style.colour.filled()))?;
            // Keep the lines of the grid out of the number.
            let beside = [(place(*value), top), (place(*value) + 32, top + BAR - 2)];
            body.draw(&Rectangle::new(beside, WHITE.filled()))?;
            let label = ("sans-serif", 11).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
            body.draw(&Text::new(format!("{value:.2}"), (place(*value) + 5, top + BAR / 2 - 1), label))?;
        }
    }
    Ok(root.present()?)
}
