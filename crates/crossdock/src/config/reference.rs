//! References to values that must not stand in a config: `${env:NAME}` and `${file:PATH}`.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// Text that may contain references, resolved on the host that needs the value.
///
/// `${env:NAME}` stands for an environment variable, `${file:PATH}` for the contents of a file without a newline at its
/// end, `$${` for a plain `${`. `Debug`, `Display` and configs show the references, never what they stand for.
///
/// ```
/// use crossdock::config::Reference;
/// let url = Reference::new("redis://:${env:REDIS_PASSWORD}@cache.example")?;
/// assert_eq!(url.as_str(), "redis://:${env:REDIS_PASSWORD}@cache.example");
/// assert!(Reference::new("${oops}").is_err());
/// # Ok::<(), crossdock::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Reference(String);

enum Part<'a> {
    Text(&'a str),
    Env(&'a str),
    File(&'a str),
}

impl Reference {
    /// Text with references.
    ///
    /// # Errors
    /// `InvalidConfig` for a reference that is neither `${env:NAME}` nor `${file:PATH}`.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        parts(&text).try_for_each(|part| part.map(drop))?;
        Ok(Self(text))
    }

    /// Whether it means the same in every process, as a path: from the root, or from a reference on.
    #[cfg(any(feature = "disk", feature = "redis"))]
    pub(crate) fn is_absolute(&self) -> bool {
        self.0.starts_with('/') || self.0.starts_with("${")
    }

    /// Text without references: whatever looks like one is taken literally.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self(text.replace("${", "$${"))
    }

    /// The text with its references unresolved.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, if there are no references in it.
    pub(crate) fn as_literal(&self) -> Option<String> {
        let text = |part| match part {
            Ok(Part::Text(text)) => Some(text),
            _ => None,
        };
        parts(&self.0).map(text).collect()
    }

    /// The text with its references resolved, here and now.
    ///
    /// # Errors
    /// `Unavailable`, naming the variable or file that is missing.
    pub fn resolve(&self) -> Result<String> {
        let mut resolved = String::new();
        for part in parts(&self.0) {
            match part? {
                Part::Text(text) => resolved.push_str(text),
                Part::Env(name) => resolved.push_str(&read_env(name)?),
                Part::File(path) => resolved.push_str(&read_file(path)?),
            }
        }
        Ok(resolved)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn parts(text: &str) -> impl Iterator<Item = Result<Part<'_>>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (part, after) = next_part(rest);
        rest = after;
        Some(part)
    })
}

fn next_part(text: &str) -> (Result<Part<'_>>, &str) {
    if let Some(after) = text.strip_prefix("$${") {
        return (Ok(Part::Text("${")), after);
    }
    let Some(inside) = text.strip_prefix("${") else {
        let end = text.match_indices('$').map(|(at, _)| at).find(|at| is_special(&text[*at..])).unwrap_or(text.len());
        let (plain, after) = text.split_at(end);
        return (Ok(Part::Text(plain)), after);
    };
    let Some((reference, after)) = inside.split_once('}') else {
        return (Err(malformed(text)), "");
    };
    let part = match reference.split_once(':') {
        Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => Ok(Part::Env(name)),
        Some(("file", path)) if !path.is_empty() => Ok(Part::File(path)),
        _ => Err(malformed(&text[..text.len() - after.len()])),
    };
    (part, after)
}

fn is_special(text: &str) -> bool {
    text.starts_with("${") || text.starts_with("$${")
}

fn malformed(reference: &str) -> Error {
    Error::new(
        ErrorKind::InvalidConfig,
        format!("{reference:?} is not a reference; write ${{env:NAME}} or ${{file:PATH}}, and $${{ for a plain ${{"),
    )
}

fn read_env(name: &str) -> Result<String> {
    std::env::var(name).map_err(|why| {
        let why = match why {
            std::env::VarError::NotPresent => "is not set",
            std::env::VarError::NotUnicode(_) => "is not UTF-8",
        };
        Error::new(
            ErrorKind::Unavailable,
            format!("the config refers to the environment variable {name}, which {why} on this host; set it"),
        )
        .permanent()
    })
}

fn read_file(path: &str) -> Result<String> {
    let mut text = std::fs::read_to_string(path)
        .map_err(|cause| Error::from_io("read", format_args!("{path:?}, which the config refers to"), cause))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve_here_and_show_nothing() -> Result<()> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let text = format!("a$b ${{env:CARGO_PKG_NAME}} ${{file:{}}} $${{c}}$", file.path().display());
        let reference = Reference::new(text.clone())?;
        assert_eq!(reference.resolve()?, "a$b crossdock s3cret ${c}$");
        assert_eq!(format!("{reference}"), text);
        assert!(!format!("{reference:?}").contains("s3cret"));
        Ok(())
    }

    #[test]
    fn a_literal_stays_what_it_is() -> Result<()> {
        for text in ["plain", "${env:HOME}", "$${x}", "$", "$$${"] {
            assert_eq!(Reference::literal(text).resolve()?, text, "{text}");
        }
        Ok(())
    }

    #[test]
    fn malformed_and_missing_references_are_named() {
        for text in ["${", "${env:}", "${env:A=B}", "${file:}", "${cmd:ls}", "x ${HOME} y"] {
            assert_eq!(Reference::new(text).unwrap_err().kind(), ErrorKind::InvalidConfig, "{text}");
        }
        let missing = Reference::new("${env:CROSSDOCK_NO_SUCH_VARIABLE}").unwrap().resolve().unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Unavailable);
        assert!(missing.to_string().contains("CROSSDOCK_NO_SUCH_VARIABLE"));
    }
}
