//! A report as text, for people.

use std::fmt::Write;

use crate::report::{Axis, Point, Report, Row, Unit};

/// Prints the report: what was missed, the rows that are held against something, then all curves.
pub fn print(report: &Report) {
    print!("{}", as_text(report));
}

fn as_text(report: &Report) -> String {
    let mut text = String::new();
    line(&mut text, &heading(report));
    let missed: Vec<&Row> = report.rows.iter().filter(|row| row.is_met() == Some(false)).collect();
    let held = report.rows.iter().filter(|row| row.target.is_some()).count();
    line(&mut text, &format!("{} of {held} targets missed.", missed.len()));
    for row in &missed {
        let [_, _, ratio, target, _] = cells(row);
        line(
            &mut text,
            &format!("MISSED  {}: {}, beside {}: {ratio}, target {target}", row.group, row.what, row.other),
        );
    }
    text.push_str(
        "\nFigures are medians, with quartiles over the rounds in brackets. A ratio says how many times as fast crossdock is,\n\
         or, where its target is a bound from above (≤), how many times as much it takes.\n",
    );
    rows(&mut text, &report.rows.iter().filter(|row| row.target.is_some() || !row.is_in_curve).collect::<Vec<_>>());
    text.push_str("\nAll sizes: medians; in brackets, how many times as long as crossdock takes for the same.\n");
    curves(&mut text, report.points.iter().filter(|point| point.x == Axis::Bytes));
    text.push_str(
        "\nWhat routing adds to a put, over the number of policies of which the last one takes the object.\n",
    );
    curves(&mut text, report.points.iter().filter(|point| point.x == Axis::Policies));
    for absent in &report.absent {
        line(&mut text, &format!("absent: {absent}"));
    }
    text
}

/// What was measured, and where.
fn heading(report: &Report) -> String {
    let machine = report.machine();
    let versions: Vec<String> = report.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "{}\n{} cores of {}, Linux {}; {} form, {:.0} s in all.\n",
        versions.join(", "),
        machine.cores,
        machine.cpu,
        machine.kernel,
        report.form(),
        report.seconds,
    )
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn rows(text: &mut String, rows: &[&Row]) {
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = &row.group;
            let _ =
                writeln!(text, "\n{group:<72} {:>26} {:>26} {:>20} {:>8}", "the other", "crossdock", "ratio", "target");
        }
        let [theirs, ours, ratio, target, verdict] = cells(row);
        let what = format!("{}, beside {}", row.what, row.other);
        line(text, &format!("{what:<72} {theirs:>26} {ours:>26} {ratio:>20} {target:>8}  {verdict}"));
    }
}

/// The other's figures, ours, the ratio, the target, the verdict.
fn cells(row: &Row) -> [String; 5] {
    let figures = |figures| match row.unit {
        Unit::Seconds => as_seconds(figures),
        Unit::Rate => in_brackets(figures, 1.0, "MB/s"),
        Unit::Bytes => in_brackets(figures, 1e-6, "MB"),
        Unit::Ratio => in_brackets(figures, 1.0, "times"),
    };
    let [low, middle, high] = row.ratio.map(as_ratio);
    let ratio = if low == high { middle } else { format!("{middle} ({low}-{high})") };
    let bound = if row.at_most { "≤" } else { "≥" };
    let target = row.target.map_or(String::new(), |target| match target {
        1.0 if !row.at_most => "on a par".to_owned(),
        target => format!("{bound} {target}"),
    });
    let verdict = row.is_met().map_or("", |is_met| if is_met { "met" } else { "MISSED" });
    [figures(row.theirs), figures(row.ours), ratio, target, verdict.to_owned()]
}

/// A table for each channel: a line for each operation and place, a column for each contestant.
fn curves<'a>(text: &mut String, points: impl Iterator<Item = &'a Point>) {
    let points: Vec<&Point> = points.collect();
    for channel in distinct(points.iter().map(|point| point.channel.as_str())) {
        let points: Vec<&Point> = points.iter().copied().filter(|point| point.channel == channel).collect();
        let names = distinct(points.iter().map(|point| point.contestant));
        let _ = write!(text, "\n{channel:<30}");
        text.extend(names.iter().map(|name| format!(" {name:>22}")));
        text.push('\n');
        for (operation, at) in distinct(points.iter().map(|point| (point.operation.as_str(), point.at))) {
            let here: Vec<&Point> = points
                .iter()
                .copied()
                .filter(|point| (point.operation.as_str(), point.at) == (operation, at))
                .collect();
            line(text, &curve_line(&here, &names));
        }
    }
}

fn curve_line(here: &[&Point], names: &[&str]) -> String {
    let Some(first) = here.first() else { return String::new() };
    let place = match first.x {
        Axis::Bytes => as_size(first.at),
        Axis::Policies => policies(first.at),
    };
    let middle = |name: &str| here.iter().find(|point| point.contestant == name).map(|point| point.seconds[1]);
    let ours = middle("crossdock");
    let mut line = format!("{:<30}", format!("{}, {place}", first.operation));
    for name in names {
        let cell = middle(name).map_or(String::new(), |seconds| match ours {
            Some(ours) if *name != "crossdock" => {
                format!("{} ({})", one_time(seconds), as_ratio(seconds / ours.max(1e-12)))
            }
            _ => one_time(seconds),
        });
        let _ = write!(line, " {cell:>22}");
    }
    line
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut seen, item| {
        if !seen.contains(&item) {
            seen.push(item);
        }
        seen
    })
}

/// 1 policy, 4 policies.
#[must_use]
pub fn policies(count: u64) -> String {
    if count == 1 { "1 policy".to_owned() } else { format!("{count} policies") }
}

/// 10 B, 100 kB, 1 GB.
#[must_use]
pub fn as_size(bytes: u64) -> String {
    let (mut figure, mut units) = (bytes as f64, ["B", "kB", "MB"].into_iter());
    let unit = units.find(|_| {
        let fits = figure < 1_000.0;
        figure /= if fits { 1.0 } else { 1_000.0 };
        fits
    });
    format!("{figure} {}", unit.unwrap_or("GB"))
}

/// How many of the unit that suits make a second, and its name.
fn unit_of(seconds: f64) -> (f64, &'static str) {
    let units = [(1.0, "s"), (1e3, "ms"), (1e6, "µs")];
    units.into_iter().find(|(factor, _)| seconds.abs() * factor >= 1.0).unwrap_or((1e9, "ns"))
}

fn one_time(seconds: f64) -> String {
    let (factor, unit) = unit_of(seconds);
    format!("{} {unit}", rounded(seconds * factor))
}

fn as_seconds(figures: [f64; 3]) -> String {
    let (factor, unit) = unit_of(figures[1]);
    in_brackets(figures, factor, unit)
}

/// The middle one, and the others in brackets where they differ.
fn in_brackets(figures: [f64; 3], factor: f64, unit: &str) -> String {
    let [low, middle, high] = figures.map(|figure| rounded(figure * factor));
    if low == high { format!("{middle} {unit}") } else { format!("{middle} {unit} ({low}-{high})") }
}

fn rounded(figure: f64) -> String {
    let digits = if figure.abs() < 100.0 && figure.fract() != 0.0 { 1 } else { 0 };
    format!("{figure:.digits$}")
}

fn as_ratio(ratio: f64) -> String {
    let digits = match ratio.abs() {
        ..0.1 => 3,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{ratio:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Target;

    #[test]
    fn figures_have_the_unit_that_suits() {
        assert_eq!(
            [10, 1_000, 100_000, 10_000_000, 1_000_000_000].map(as_size),
            ["10 B", "1 kB", "100 kB", "10 MB", "1 GB"]
        );
        assert_eq!(as_seconds([31e-9, 32e-9, 35.4e-9]), "32 ns (31-35.4)");
        assert_eq!(as_seconds([0.5e-3, 1.25e-3, 0.125]), "1.2 ms (0.5-125)");
        assert_eq!(as_seconds([50e-9; 3]), "50 ns");
        assert_eq!([0.0123, 0.5, 12.34, 1234.5].map(as_ratio), ["0.012", "0.50", "12.3", "1234"]);
    }

    #[test]
    fn what_was_missed_comes_first() {
        let mut report = Report::new("short");
        let row = |what: &str, target| Row::new("Redis", what.to_owned(), "bare socket", &[1.0], &[2.0], target);
        report.rows =
            vec![row("put", Some(Target::AtMost(3.0))), row("get", Some(Target::AtMost(1.25))), row("all", None)];
        let text = as_text(&report);
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.iter().position(|line| *line == "1 of 2 targets missed.").unwrap();
        assert_eq!(lines[first + 1], "MISSED  Redis: get, beside bare socket: 2.00, target ≤ 1.25");
        let verdicts = ["put, ", "get, ", "all, "].map(|what| {
            let found = lines[first + 2..].iter().find(|line| line.starts_with(what)).unwrap();
            found.split_whitespace().last().unwrap()
        });
        assert_eq!(verdicts, ["met", "MISSED", "0.50"]);
    }

    #[test]
    fn a_curve_has_a_column_for_each_contestant() {
        let mut report = Report::new("short");
        let point = |contestant, at, seconds: f64| Point {
            channel: "Memory".to_owned(),
            contestant,
            operation: "put".to_owned(),
            x: Axis::Bytes,
            at,
            seconds: [seconds; 3],
        };
        report.points = vec![point("bare", 10, 4e-6), point("crossdock", 10, 2e-6), point("crossdock", 1_000, 3e-6)];
        let text = as_text(&report);
        let words = |start: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(words("Memory"), ["Memory", "bare", "crossdock"]);
        assert_eq!(words("put, 10 B"), ["put,", "10", "B", "4", "µs", "(2.00)", "2", "µs"]);
        assert_eq!(words("put, 1 kB"), ["put,", "1", "kB", "3", "µs"]);
    }
}
