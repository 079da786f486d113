//! The table at the end.

/// How a hazard ended.
pub(crate) enum Verdict {
    Ok,
    Failed(String),
    Skipped(String),
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) looked_for: &'static str,
    pub(crate) done: u64,
    pub(crate) found: Option<u64>,
    pub(crate) seconds: f64,
    pub(crate) verdict: Verdict,
    pub(crate) notes: Vec<String>,
}

impl Row {
    fn cells(&self) -> [String; 6] {
        let result = match &self.verdict {
            Verdict::Ok => "ok".to_owned(),
            Verdict::Failed(why) if why.is_empty() => "FAILED".to_owned(),
            Verdict::Failed(why) => format!("FAILED: {why}"),
            Verdict::Skipped(why) => format!("skipped: {why}"),
        };
        let found = self.found.map_or_else(|| "-".to_owned(), |found| found.to_string());
        let count = grouped(self.done);
        [self.name.to_owned(), count, self.looked_for.to_owned(), found, format!("{:.1} s", self.seconds), result]
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Prints the rows, what they note, and the sums. True if none failed.
pub(crate) fn print(rows: &[Row]) -> bool {
    let head = ["hazard", "count", "looked for", "found", "time", "result"].map(str::to_owned);
    let cells: Vec<[String; 6]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    println!();
    for [name, count, looked_for, found, time, result] in &cells {
        let [w0, w1, w2, w3, w4] = widths;
        println!("{name:w0$}  {count:>w1$}  {looked_for:w2$}  {found:>w3$}  {time:>w4$}  {result}");
    }
    println!();
    for row in rows {
        for note in &row.notes {
            println!("{}: {note}", row.name);
        }
    }
    let count = |wanted: fn(&Verdict) -> bool| rows.iter().filter(|row| wanted(&row.verdict)).count();
    let passed = count(|verdict| matches!(verdict, Verdict::Ok));
    let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    failed == 0
}
