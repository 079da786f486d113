//! What the benchmarks share: contestants that are timed in turn, and what is told of their times.

mod machine;
mod report;
mod sets;
mod table;
mod turns;

pub use machine::{Machine, field, free_memory, locked_version};
pub use report::{Axis, Point, Report, Row, Target, Unit};
pub use sets::{Kind, last_of};
pub use table::{as_size, policies, print};
pub use turns::{Budget, Contestant, Outcome, quartiles, take_turns};
