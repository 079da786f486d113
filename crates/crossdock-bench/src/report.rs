//! What was measured: points of curves, and rows with their verdicts; as JSON, whatever draws them reads it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::machine::Machine;
use crate::turns::quartiles;

/// What a curve is drawn over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// The size of the object.
    Bytes,
    /// The number of policies.
    Policies,
}

/// One point of one curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The picture: what is measured.
    pub channel: String,
    /// Who was measured: `crossdock`, `bare` and so on.
    pub contestant: &'static str,
    /// What was done: `put`, `get` and so on.
    pub operation: String,
    /// What `at` counts.
    pub x: Axis,
    /// Where the point lies on that axis.
    pub at: u64,
    /// Seconds a call, as quartiles over the rounds.
    pub seconds: [f64; 3],
}

/// What the figures of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Seconds a call.
    #[serde(rename = "s")]
    Seconds,
    /// Megabytes a second: more is better.
    #[serde(rename = "MB/s")]
    Rate,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
    /// One figure over another: more is better.
    #[serde(rename = "ratio")]
    Ratio,
}

/// What is not slower by more than this is on a par, which a target of 1 asks for.
const PAR: f64 = 0.95;

/// What a row's ratio should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Ours is at least so many times as good as the other.
    AtLeast(f64),
    /// Ours takes at most so many times as much as the other.
    AtMost(f64),
}

/// Ours beside another, each as quartiles over the rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Under which heading it stands.
    pub group: String,
    /// What was done.
    pub what: String,
    /// Who the other is.
    pub other: String,
    /// The other's figures.
    pub theirs: [f64; 3],
    /// Our figures.
    pub ours: [f64; 3],
    /// What the figures are.
    pub unit: Unit,
    /// How many times as good ours is; where `at_most`, how many times as much it takes. Quartiles of the ratios within the
    /// rounds.
    pub ratio: [f64; 3],
    /// What the ratio should reach, or not pass where `at_most`.
    pub target: Option<f64>,
    /// Whether the target is a bound from above.
    pub at_most: bool,
    /// Whether its figures are points of a curve, too.
    pub is_in_curve: bool,
}

impl Row {
    /// A row of figures that were taken in the same rounds. Without a target, the ratio says how many times as good ours is.
    #[must_use]
    pub fn new(group: &str, what: String, other: &str, theirs: &[f64], ours: &[f64], target: Option<Target>) -> Self {
        let at_most = matches!(target, Some(Target::AtMost(_)));
        Self {
            group: group.to_owned(),
            what,
            other: other.to_owned(),
            theirs: quartiles(theirs),
            ours: quartiles(ours),
            unit: Unit::Seconds,
            ratio: if at_most { ratios(ours, theirs) } else { ratios(theirs, ours) },
            target: target.map(|(Target::AtLeast(bound) | Target::AtMost(bound))| bound),
            at_most,
            is_in_curve: false,
        }
    }

    /// The same for figures of which more is better.
    #[must_use]
    pub fn of_rates(group: &str, what: String, other: &str, theirs: &[f64], ours: &[f64], least: Option<f64>) -> Self {
        let row = Self::new(group, what, other, theirs, ours, least.map(Target::AtLeast));
        Self { unit: Unit::Rate, ratio: ratios(ours, theirs), ..row }
    }

    /// Whether the target is met; `None` where there is none.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        let [_, ratio, _] = self.ratio;
        self.target.map(|target| match (self.at_most, target) {
            (true, most) => ratio <= most,
            (false, 1.0) => ratio >= PAR,
            (false, least) => ratio >= least,
        })
    }
}

/// Round by round, so that what slowed one round down does not count.
fn ratios(these: &[f64], over: &[f64]) -> [f64; 3] {
    // What took no time at all must not give a figure that is none.
    let ratios: Vec<f64> = these.iter().zip(over).map(|(this, over)| this / over.max(1e-12)).collect();
    quartiles(&ratios)
}

/// All that was measured in one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    face: &'static str,
    form: &'static str,
    machine: Machine,
    /// Of what took part, by name.
    pub versions: BTreeMap<String, String>,
    /// How long the run took.
    pub seconds: f64,
    /// The points of all curves.
    pub points: Vec<Point>,
    /// All rows, in the order in which they were measured.
    pub rows: Vec<Row>,
    /// What did not take part, and why.
    pub absent: Vec<String>,
}

impl Report {
    /// An empty report of a run in this form.
    #[must_use]
    pub fn new(form: &'static str) -> Self {
        Self {
            face: "rust",
            form,
            machine: Machine::here(),
            versions: BTreeMap::new(),
            seconds: 0.0,
            points: Vec::new(),
            rows: Vec::new(),
            absent: Vec::new(),
        }
    }

    /// `short` or `full`.
    #[must_use]
    pub fn form(&self) -> &'static str {
        self.form
    }

    /// Where it ran.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn row(target: Option<Target>) -> Row {
        Row::new("Redis", "put, 10 B".to_owned(), "bare socket", &[2.0, 4.0, 6.0], &[4.0, 8.0, 12.0], target)
    }

    #[test]
    fn a_bound_from_above_turns_the_ratio_round() {
        assert_eq!(row(None).ratio, [0.5; 3]);
        assert_eq!(row(Some(Target::AtLeast(1.0))).ratio, [0.5; 3]);
        assert_eq!(row(Some(Target::AtMost(1.0))).ratio, [2.0; 3]);
    }

    #[test]
    fn on_a_par_is_what_is_little_slower() {
        let ratio = |ratio| Row { ratio: [ratio; 3], ..row(Some(Target::AtLeast(1.0))) }.is_met();
        assert_eq!([0.94, 0.95, 1.1].map(ratio), [Some(false), Some(true), Some(true)]);
    }

    #[test]
    fn a_target_that_is_just_reached_is_met() {
        assert_eq!(row(None).is_met(), None);
        let met = |target| row(Some(target)).is_met();
        assert_eq!([0.4, 0.5, 0.6].map(|bound| met(Target::AtLeast(bound))), [Some(true), Some(true), Some(false)]);
        assert_eq!([1.9, 2.0, 2.1].map(|bound| met(Target::AtMost(bound))), [Some(false), Some(true), Some(true)]);
    }

    #[test]
    fn of_rates_more_is_better() {
        let row = Row::of_rates("Threads", String::new(), "1 thread", &[100.0], &[150.0], Some(1.5));
        assert_eq!((row.ratio, row.is_met(), row.at_most), ([1.5; 3], Some(true), false));
    }

    #[test]
    fn ratios_are_those_within_the_rounds() {
        let row = Row::new("Redis", String::new(), "bare", &[1.0, 10.0, 2.0], &[1.0, 10.0, 4.0], None);
        assert_eq!(row.ratio, [0.75, 1.0, 1.0]);
    }

    #[test]
    fn no_time_at_all_gives_a_figure_that_is_one() {
        let row = Row::new("Memory", String::new(), "bare", &[1.0], &[0.0], None);
        assert!(row.ratio.iter().all(|ratio| ratio.is_finite()));
    }

    #[test]
    fn the_report_has_the_shape_that_is_read() {
        let mut report = Report::new("short");
        report.points.push(Point {
            channel: "Files on tmpfs".to_owned(),
            contestant: "opendal",
            operation: "get as a view".to_owned(),
            x: Axis::Bytes,
            at: 1_000,
            seconds: [1.0, 2.0, 3.0],
        });
        report.rows = vec![row(Some(Target::AtMost(1.25))), row(None)];
        report.absent.push("opendal: why".to_owned());
        let told = serde_json::to_value(&report).unwrap();
        let names: Vec<&String> = told.as_object().unwrap().keys().collect();
        let wanted = ["face", "form", "machine", "versions", "seconds", "points", "rows", "absent"];
        assert_eq!(names, wanted);
        assert_eq!(
            (&told["face"], &told["form"], &told["absent"]),
            (&json!("rust"), &json!("short"), &json!(["opendal: why"]))
        );
        assert!(["cores", "kernel", "cpu"].iter().all(|name| !told["machine"][name].is_null()));
        assert_eq!(
            told["points"][0],
            json!({
                "channel": "Files on tmpfs", "contestant": "opendal", "operation": "get as a view", "x": "bytes",
                "at": 1_000, "seconds": [1.0, 2.0, 3.0],
            })
        );
        assert_eq!(
            told["rows"][0],
            json!({
                "group": "Redis", "what": "put, 10 B", "other": "bare socket", "theirs": [3.0, 4.0, 5.0],
                "ours": [6.0, 8.0, 10.0], "unit": "s", "ratio": [2.0, 2.0, 2.0], "target": 1.25, "at_most": true,
                "is_in_curve": false,
            })
        );
        assert_eq!((&told["rows"][1]["target"], &told["rows"][1]["at_most"]), (&Value::Null, &json!(false)));
        let units =
            [Unit::Seconds, Unit::Rate, Unit::Bytes, Unit::Ratio].map(|unit| serde_json::to_value(unit).unwrap());
        assert_eq!(units, ["s", "MB/s", "bytes", "ratio"]);
    }
}
