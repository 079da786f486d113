//! Host patterns: regular expressions that mean exactly what they mean to Python 3.11.
//!
//! Policies are shared with Python programs, where a pattern is matched by
//! `re.fullmatch(pattern, hostname)`. Other regular expression engines give some of those
//! patterns another meaning without saying so, hence this one of our own. It knows the
//! whole language of `re` for `str` patterns, and refuses what it does not support:
//!
//! - named characters, `\N{...}`;
//! - group names beyond ASCII, and group numbers of conditions in other than plain digits;
//! - with the flag `i`, characters beyond ASCII in the pattern (with `a` and `i`, sets of
//!   characters beyond U+FFFF);
//! - patterns longer than 8192 characters, with groups nested more than 100 deep, or with
//!   sets of thousands of members within dozens of groups of alternatives.
//!
//! Where releases of Python 3.11 differ (in corners of possessive quantifiers), the meaning
//! is that of 3.11.7.
//!
//! Patterns are not trusted. No pattern can take more than a bounded number of steps,
//! neither to be read nor to be matched; a few milliseconds in all.
//!
//! ```
//! use crossdock::pattern::HostPattern;
//!
//! let pattern = HostPattern::new(r"node-\d{1,3}(\.cluster\.example)?").unwrap();
//! assert_eq!(pattern.is_match("node-17"), Ok(true));
//! assert_eq!(pattern.is_match("node-17.cluster.example"), Ok(true));
//! assert_eq!(pattern.is_match("login-node-17"), Ok(false));
//! ```

mod ast;
mod backtrack;
mod captures;
mod charset;
mod escape;
mod frame;
mod group;
mod linear;
mod parse;
mod program;
mod tables;
mod token;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use backtrack::Trouble;
use linear::Automaton;
use program::Program;

/// The longest pattern, in characters.
const MAX_PATTERN_CHARS: usize = 8192;

/// How deep groups may be nested.
const MAX_DEPTH: usize = 100;

/// Most steps that one match may take with the backtracking matcher.
const BACKTRACK_STEPS: usize = 250_000;

/// Most steps that one match of a regular pattern may take.
const LINEAR_STEPS: usize = 250_000;

/// Most characters of a pattern or hostname that a message repeats.
const MAX_SHOWN: usize = 200;

/// A compiled pattern that hostnames are matched against as a whole.
///
/// Cloning is cheap. Two patterns are equal if their texts are. Nothing in it is
/// locked or changes: any number of threads can share it.
#[derive(Clone)]
pub struct HostPattern {
    compiled: Arc<Compiled>,
}

struct Compiled {
    source: String,
    program: Program,
    /// For patterns that are regular, and not too large.
    automaton: Option<Automaton>,
}

impl HostPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// If Python 3.11's `re.compile` refuses the pattern, or it needs something that is
    /// [not supported](self).
    ///
    /// ```
    /// use crossdock::pattern::HostPattern;
    ///
    /// let error = HostPattern::new("a)|(b").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#"host pattern "a)|(b": unbalanced parenthesis at position 1"#
    /// );
    /// ```
    pub fn new(pattern: &str) -> Result<HostPattern, PatternError> {
        let compile = || {
            let program = Program::new(&parse::parse(pattern)?)?;
            let automaton = Automaton::new(&program);
            Ok((program, automaton))
        };
        let (program, automaton) = compile().map_err(|fault: token::Fault| PatternError {
            pattern: pattern.to_owned(),
            position: fault.position,
            reason: fault.reason,
        })?;
        Ok(HostPattern { compiled: Arc::new(Compiled { source: pattern.to_owned(), program, automaton }) })
    }

    /// The pattern as it was written.
    ///
    /// ```
    /// use crossdock::pattern::HostPattern;
    ///
    /// assert_eq!(HostPattern::new("node-.*").unwrap().as_str(), "node-.*");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.compiled.source
    }

    /// Whether the pattern matches the whole hostname.
    ///
    /// Each call does the work anew: keep the answer if it is needed often.
    ///
    /// # Errors
    ///
    /// If the answer takes too many steps to find. Patterns without look-around,
    /// back-references, conditions, atomic groups and possessive quantifiers practically
    /// always stay far below the limit; with one of them, nested repeats such as
    /// `(a+)+` may not.
    ///
    /// ```
    /// use crossdock::pattern::HostPattern;
    ///
    /// let pattern = HostPattern::new(r"(?!login)[a-z]+(?P<row>\d)-(?P=row)\d*").unwrap();
    /// assert_eq!(pattern.is_match("rack3-31"), Ok(true));
    /// assert_eq!(pattern.is_match("rack3-41"), Ok(false));
    ///
    /// let pattern = HostPattern::new(r"(?=a)(a+)+").unwrap();
    /// assert!(pattern.is_match(&format!("{}!", "a".repeat(40))).is_err());
    /// ```
    pub fn is_match(&self, hostname: &str) -> Result<bool, StepLimitExceeded> {
        let compiled = &*self.compiled;
        let text: Vec<u32> = hostname.chars().map(u32::from).collect();
        if (text.len() as u128) < compiled.program.min_width {
            return Ok(false);
        }
        let (answer, limit) = match &compiled.automaton {
            Some(automaton) => {
                let answer = automaton.is_match(&compiled.program, &text, LINEAR_STEPS);
                (answer.ok_or(Trouble::OutOfSteps), LINEAR_STEPS)
            }
            None => {
                let answer = backtrack::is_match(&compiled.program, &text, BACKTRACK_STEPS);
                (answer, BACKTRACK_STEPS)
            }
        };
        answer.map_err(|trouble| StepLimitExceeded {
            pattern: self.clone(),
            hostname: hostname.to_owned(),
            limit,
            crossed_group: matches!(trouble, Trouble::CrossedGroup),
        })
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for HostPattern {
    fn eq(&self, other: &HostPattern) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for HostPattern {}

impl Hash for HostPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// Why a pattern was refused.
///
/// ```
/// use crossdock::pattern::HostPattern;
///
/// let error = HostPattern::new("node-[z-a]").unwrap_err();
/// assert_eq!(error.pattern(), "node-[z-a]");
/// assert_eq!(error.position(), 6);
/// assert_eq!(error.reason(), "bad character range z-a");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    pattern: String,
    position: usize,
    reason: String,
}

impl PatternError {
    /// The pattern that was refused.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Where the reason stands in the pattern, in characters from its start.
    ///
    /// This is the position that Python reports, if it reports one.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The reason, in a few words.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host pattern {}: {} at position {}", Shown(&self.pattern), Plain(&self.reason), self.position)
    }
}

impl std::error::Error for PatternError {}

/// A match that was given up, because it would take too long.
///
/// There is one other, very rare reason: for a few patterns with possessive quantifiers or
/// atomic groups around captures, Python 3.11 itself loses track of a group and fails with
/// a `SystemError`. So does the match here ([`is_python_failure`](Self::is_python_failure)).
///
/// ```
/// use crossdock::pattern::HostPattern;
///
/// let pattern = HostPattern::new(r"(a*)*\1b").unwrap();
/// let error = pattern.is_match(&"a".repeat(60)).unwrap_err();
/// assert_eq!(error.pattern(), &pattern);
/// assert_eq!(error.hostname(), "a".repeat(60));
/// assert!(error.limit() > 0);
/// assert!(error.to_string().contains("simplify the pattern"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepLimitExceeded {
    pattern: HostPattern,
    hostname: String,
    limit: usize,
    crossed_group: bool,
}

impl StepLimitExceeded {
    /// The pattern that took too long.
    pub fn pattern(&self) -> &HostPattern {
        &self.pattern
    }

    /// The hostname for which it did.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Whether the limit was not reached, but Python 3.11 fails with an internal error.
    pub fn is_python_failure(&self) -> bool {
        self.crossed_group
    }

    /// How many steps a match may take.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

impl fmt::Display for StepLimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.crossed_group {
            return write!(
                f,
                "host pattern {} makes Python 3.11 fail with an internal error for the \
                 hostname {}: avoid captures within possessive quantifiers and atomic groups",
                Shown(self.pattern.as_str()),
                Shown(&self.hostname)
            );
        }
        write!(
            f,
            "host pattern {} needs more than {} steps for the hostname {}: simplify the \
             pattern, above all repeats within repeats",
            Shown(self.pattern.as_str()),
            self.limit,
            Shown(&self.hostname)
        )
    }
}

impl std::error::Error for StepLimitExceeded {}

/// A text without anything that would break a line.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, c) in self.0.chars().enumerate() {
            if place == MAX_SHOWN {
                return f.write_str("...");
            }
            // Backslashes stay single: patterns are easier to recognise that way.
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// The same in quotes.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Plain(self.0))
    }
}
