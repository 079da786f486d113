//! Host patterns that would keep a backtracking matcher busy: each is answered or refused, soon.

use std::time::{Duration, Instant};

use crossdock::HostPattern;

use super::Hazard;
use crate::rng::Rng;
use crate::run::{Outcome, Run};

pub(super) const HAZARD: Hazard =
    Hazard { name: "patterns", looked_for: "panics, patterns over 1 s", small: 1_000, full: 100_000, needs: &[], run };

const LIMIT: Duration = Duration::from_secs(1);
const BAR: Duration = Duration::from_millis(10);

const CRAFTED: &[&str] = &[
    "(a+)+$",
    "(a+)+",
    "(a*)*b",
    "(a|a)*b",
    "(a|aa)+$",
    "([a-z]+)*$",
    "(.*)*$",
    "(.*a){20}",
    "(a?){30}a{30}",
    "(?:a+)+(?:a+)+b",
    "((a+)+)+$",
    "(a+)+\\1",
    "(?=(a+)+b)",
    "(?<=a{1000})",
    "(?!(a+)+b)a*",
    "a{1000}{1000}",
    "(((a{100}){100}){100}){100}",
    "(\\w+\\d+)+-",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(x+x+)+y",
    "(?i)(K+)+$",
    "\\p{L}{1000}",
    "[\\s\\S]*[\\s\\S]*[\\s\\S]*[\\s\\S]*[\\s\\S]*b",
    "(a(b(c(d(e)*)*)*)*)*f",
    "(?P<n>a)(?P=n)*+",
    "(a)(?(1)a+|b+)+$",
    "(?s:.*)(?s:.*)(?s:.*)x",
    "()*",
    "(a*)+",
    "(a??)*b",
    "(|a)+",
    "(a|b|ab)*c",
    "\\b(\\w+\\b)*x",
];

const PIECES: &[&str] = &[
    "a",
    "b",
    "ab",
    ".",
    "\\w",
    "\\d",
    "\\s",
    "[a-z]",
    "[^b]",
    "\\b",
    "^",
    "$",
    "a|a",
    "a|ab|b",
    "\\1",
    "\\2",
    "(?=a)",
    "(?!b)",
    "(?<=a)",
    "(?<!b)",
    "ü",
    "-",
    "[a-",
    "\\",
    "\\x",
    "(?i)",
    "(?i:A)",
    "(?P<n>a)",
    "(?P=n)",
    "{",
    "}",
    "\\Z",
    "\\A",
    "\\N",
    "\0",
    "\u{10ffff}",
    "(?#c)",
    "(?>a+)",
    "[[:alpha:]]",
    "\\p{L}",
    "(?(1)a|b)",
];
const QUANTIFIERS: &[&str] =
    &["*", "+", "?", "*?", "+?", "??", "{2}", "{3,}", "{,5}", "{2,30}", "{1000}", "{99999999999}", "*+", "++", "{0}"];

fn run(run: &mut Run) -> Outcome {
    let hosts = [
        format!("{}!", "a".repeat(28)),
        "a".repeat(29),
        format!("{}-b", "a".repeat(252)),
        "ab".repeat(127),
        format!("nid{}", "0".repeat(250)),
        "login-1.cluster.example".to_owned(),
        String::new(),
        "ü".repeat(100),
    ];
    let mut slowest = (Duration::ZERO, String::new());
    let (mut answered, mut refused, mut gave_up, mut over) = (0_u64, 0_u64, 0_u64, 0_u64);
    for index in 0..run.count {
        let mut rng = run.rng(index);
        let pattern = CRAFTED.get(index as usize).map_or_else(|| some_pattern(&mut rng), |text| (*text).to_owned());
        let shown: String = pattern.chars().take(200).collect();
        run.about_to(&format!("pattern {index}: {shown}"))?;
        let begin = Instant::now();
        let made = run.guarded(|| format!("pattern {index} {shown:?}"), || HostPattern::new(&pattern));
        let mut time = begin.elapsed();
        match made {
            Some(Ok(made)) => {
                for host in &hosts {
                    let begin = Instant::now();
                    let place = || format!("pattern {index} {shown:?} on {host:?}");
                    match run.guarded(place, || made.is_match(host)) {
                        Some(Ok(_)) => answered += 1,
                        Some(Err(_)) => gave_up += 1,
                        None => {}
                    }
                    time = time.max(begin.elapsed());
                }
            }
            Some(Err(_)) => refused += 1,
            None => {}
        }
        run.check(time < LIMIT, || format!("pattern {index} took {time:?}: {shown:?}"));
        over += u64::from(time > BAR);
        if time > slowest.0 {
            slowest = (time, shown);
        }
        run.did(1);
    }
    run.note(format_args!(
        "{answered} answers, {gave_up} gave up at the limit of steps, {refused} patterns refused; {over} took over 10 \
         ms, the slowest {:.2} ms: {:?}",
        slowest.0.as_secs_f64() * 1e3,
        slowest.1
    ));
    Ok(())
}

fn some_pattern(rng: &mut Rng) -> String {
    let mut pattern = String::new();
    for _ in 0..=rng.below(4) {
        let mut part = rng.pick(PIECES).to_string();
        for _ in 0..rng.below(5) {
            let another = rng.pick(PIECES);
            part = match rng.below(6) {
                0 => format!("({part})"),
                1 => format!("(?:{part}|{another})"),
                2 => format!("{part}{another}"),
                3 => format!("({part}{another})"),
                _ => format!("(?:{part}){}", rng.pick(QUANTIFIERS)),
            };
        }
        pattern.push_str(&part);
        if rng.one_in(3) {
            let quantifier = rng.pick(QUANTIFIERS);
            pattern.push_str(quantifier);
        }
    }
    if rng.one_in(50) {
        pattern = pattern.repeat(1 + rng.below(500));
    }
    pattern
}
