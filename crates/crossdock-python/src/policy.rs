//! Policies: checked and compiled once, asked often.

use std::time::Duration;

use crossdock::{Policy, Request};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyString};

use crate::errors::{raise, type_error, type_name};
use crate::options::tags;

/// What `crossdock.connectors.multi.Policy` means.
#[pyclass(frozen, module = "crossdock._crossdock")]
pub(crate) struct CompiledPolicy(pub(crate) Policy);

#[pymethods]
impl CompiledPolicy {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "one for each field of a policy")]
    fn new(
        py: Python<'_>,
        priority: &Bound<'_, PyAny>,
        host_pattern: Option<&Bound<'_, PyAny>>,
        min_size_bytes: &Bound<'_, PyAny>,
        max_size_bytes: &Bound<'_, PyAny>,
        subset_tags: &Bound<'_, PyAny>,
        superset_tags: &Bound<'_, PyAny>,
        fallback: bool,
        max_failures: &Bound<'_, PyAny>,
        cooldown: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let mut builder = Policy::builder()
            .priority(parse_priority(priority)?)
            .min_size_bytes(parse_size("min_size_bytes", min_size_bytes)?)
            .max_size_bytes(parse_size("max_size_bytes", max_size_bytes)?)
            .subset_tags(tags("subset_tags", Some(subset_tags), 2)?)
            .superset_tags(tags("superset_tags", Some(superset_tags), 2)?)
            .fallback(fallback)
            .max_failures(parse_max_failures(max_failures)?)
            .cooldown(parse_cooldown(cooldown)?);
        builder = match host_pattern {
            None => builder,
            Some(pattern) => match pattern.cast::<PyString>() {
                Ok(one) => builder.host_pattern(one.to_str()?),
                Err(_) => builder.host_patterns(pattern.extract::<Vec<String>>().map_err(|_| {
                    type_error(format!(
                        "host_pattern must be a string, an iterable of strings or None, not {}",
                        type_name(pattern)
                    ))
                })?),
            },
        };
        builder.build().map(Self).map_err(|error| raise(py, &error))
    }

    /// Whether the policy takes a request; what is `None` is not checked.
    fn is_valid(
        &self,
        hostname: &str,
        size_bytes: Option<&Bound<'_, PyAny>>,
        subset_tags: Option<&Bound<'_, PyAny>>,
        superset_tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let subset = subset_tags.map(|given| tags("subset_tags", Some(given), 2)).transpose()?;
        let superset = superset_tags.map(|given| tags("superset_tags", Some(given), 2)).transpose()?;
        // ProxyStore compares whatever it is given.
        if size_bytes.is_some_and(|size| size.lt(0).unwrap_or(false)) {
            return Ok(false);
        }
        let mut request = Request::new();
        request.size = size_bytes.map(|size| parse_size("size_bytes", size)).transpose()?;
        request.subset_tags = subset.as_deref();
        request.superset_tags = superset.as_deref();
        Ok(self.0.accepts(&request, hostname))
    }

    /// Whether the policy holds on the host of that name.
    fn is_valid_on_host(&self, hostname: &str) -> bool {
        self.0.is_valid_on_host(hostname) == Ok(true)
    }

    #[getter]
    fn min_size_bytes(&self) -> u64 {
        self.0.min_size_bytes()
    }

    #[getter]
    fn max_size_bytes(&self) -> u64 {
        self.0.max_size_bytes()
    }
}

fn parse_priority(given: &Bound<'_, PyAny>) -> PyResult<i64> {
    if !given.is_instance_of::<PyInt>() {
        return Err(type_error(format!("priority must be a whole number, not {}", type_name(given))));
    }
    given.extract().map_err(|_| PyValueError::new_err("priority must fit in 64 bits"))
}

fn parse_max_failures(given: &Bound<'_, PyAny>) -> PyResult<u32> {
    if !given.is_instance_of::<PyInt>() {
        return Err(type_error(format!("max_failures must be a whole number, not {}", type_name(given))));
    }
    let wrong = |_| PyValueError::new_err("max_failures must be a number from 0 (never skipped) to 4294967295");
    given.extract().map_err(wrong)
}

fn parse_cooldown(given: &Bound<'_, PyAny>) -> PyResult<Duration> {
    if !given.is_instance_of::<PyInt>() && !given.is_instance_of::<PyFloat>() {
        return Err(type_error(format!("cooldown must be a number of seconds, not {}", type_name(given))));
    }
    let wrong = || PyValueError::new_err(format!("cooldown must be a number of seconds from 0 to 2^64, not {given}"));
    given.extract().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(wrong)
}

/// A size in bytes. Sizes beyond all objects count as the largest there is, whole floats such as 1e6 as what they are.
pub(crate) fn parse_size(name: &str, given: &Bound<'_, PyAny>) -> PyResult<u64> {
    if given.is_instance_of::<PyInt>() {
        if given.lt(0)? {
            return Err(PyValueError::new_err(format!(
                "{name} is a size in bytes, which cannot be below 0, not {given}"
            )));
        }
        return Ok(given.extract().unwrap_or(u64::MAX));
    }
    let Ok(float) = given.cast::<PyFloat>() else {
        return Err(type_error(format!("{name} must be a whole number of bytes, not {}", type_name(given))));
    };
    let size = float.extract::<f64>()?;
    if size >= 0.0 && (size.fract() == 0.0 || size.is_infinite()) {
        return Ok(size as u64);
    }
    Err(PyValueError::new_err(format!("{name} must be a whole number of bytes from 0 up, not {size}")))
}
