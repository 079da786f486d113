//! What calls are told, from Python's arguments.

use std::ffi::CString;

use crossdock::{Durability, Integrity, PutOptions};
use pyo3::exceptions::{PyUserWarning, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::errors::{type_error, type_name};

const DURABILITIES: [Durability; 3] = [Durability::Process, Durability::Host, Durability::Backend];
const INTEGRITIES: [Integrity; 2] = [Integrity::Size, Integrity::Checksum];

/// The options of a put.
pub(crate) fn put_options(
    subset_tags: Option<&Bound<'_, PyAny>>,
    superset_tags: Option<&Bound<'_, PyAny>>,
    durability: Option<&str>,
) -> PyResult<PutOptions> {
    let mut options = PutOptions::new();
    options.subset_tags = tags("subset_tags", subset_tags, 1)?;
    options.superset_tags = tags("superset_tags", superset_tags, 1)?;
    options.durability = durability.map(parse_durability).transpose()?;
    Ok(options)
}

/// Tags are read once, here, so that whatever they come from may be used up by it. `frames` of Python are between the caller's
/// and here, his included.
pub(crate) fn tags(argument: &str, given: Option<&Bound<'_, PyAny>>, frames: i32) -> PyResult<Vec<String>> {
    let Some(given) = given else { return Ok(Vec::new()) };
    if given.cast_exact::<PyTuple>().is_ok_and(PyTupleMethods::is_empty) {
        return Ok(Vec::new());
    }
    if let Ok(text) = given.cast::<PyString>() {
        warn_of_letters(argument, text, frames)?;
    }
    let wrong = |what: String| type_error(format!("{argument} must be an iterable of strings, not {what}"));
    let tag = |tag: PyResult<Bound<'_, PyAny>>| {
        let tag = tag?;
        match tag.cast::<PyString>() {
            Ok(text) => Ok(text.to_str()?.to_owned()),
            Err(_) => Err(wrong(format!("one that holds: {}", type_name(&tag)))),
        }
    };
    given.try_iter().map_err(|_| wrong(type_name(given)))?.map(tag).collect()
}

fn warn_of_letters(argument: &str, text: &Bound<'_, PyString>, frames: i32) -> PyResult<()> {
    let py = text.py();
    let text = text.to_string_lossy();
    let shown: String = text.chars().take(40).collect();
    let message =
        format!("{argument}={shown:?} is a string, whose letters are taken as tags; write [{shown:?}] for one tag");
    let message = CString::new(message).map_err(|_| PyValueError::new_err("a tag contains a null character"))?;
    PyErr::warn(py, &py.get_type::<PyUserWarning>(), &message, frames)
}

pub(crate) fn parse_durability(word: &str) -> PyResult<Durability> {
    by_word("durability", &DURABILITIES, Durability::as_str, word)
}

pub(crate) fn parse_integrity(word: &str) -> PyResult<Integrity> {
    by_word("integrity", &INTEGRITIES, Integrity::as_str, word)
}

fn by_word<T: Copy>(option: &str, all: &[T], word_of: impl Fn(T) -> &'static str, word: &str) -> PyResult<T> {
    all.iter().copied().find(|each| word_of(*each) == word).ok_or_else(|| {
        let words: Vec<&str> = all.iter().copied().map(word_of).collect();
        let shown: String = word.chars().take(40).collect();
        PyValueError::new_err(format!("{option} must be one of {words:?}, not {shown:?}"))
    })
}
