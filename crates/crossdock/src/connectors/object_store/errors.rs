//! Why a request failed: what it says of the object, of a write, and of trying again.

use std::error::Error as StdError;

use reqwest::StatusCode;

use super::http::Trouble;
use crate::error::{Error, ErrorKind};

/// What a failed request says.
#[derive(Debug)]
pub(super) enum Cause {
    /// There is no such object.
    Missing,
    /// There is no such bucket.
    NoBucket,
    /// A condition does not hold: something is there already, or has changed.
    Condition,
    /// The object has no such range.
    Range,
    /// No more room.
    Full,
    /// Too large for one request, or for the store.
    TooLarge,
    /// The store cannot do that at all.
    Unsupported,
    /// The store says no, and will again.
    Denied,
    /// The store says no for now. Nothing was done.
    Busy,
    /// The server was not reached. Nothing was done.
    NotReached,
    /// Nobody knows what the server did.
    Lost,
    /// The time is over.
    Expired,
    /// The caller wants no more: this error is for him.
    Interrupted(Error),
    /// The request did what it should, but this is wrong with what it brought.
    Found(Error),
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// What happened, for people.
    text: String,
}

impl Failure {
    pub(super) fn new(cause: Cause, text: impl Into<String>) -> Self {
        Self { cause, text: text.into() }
    }

    pub(super) fn interrupted(error: Error) -> Self {
        Self::new(Cause::Interrupted(error), "")
    }

    pub(super) fn is_interrupted(&self) -> bool {
        matches!(self.cause, Cause::Interrupted(_))
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn has_given_up(&self) -> bool {
        matches!(self.cause, Cause::Interrupted(_) | Cause::Expired)
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self.cause, Cause::Missing)
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.cause, Cause::Busy | Cause::NotReached | Cause::Lost)
    }

    /// Whether a write whose whole body was sent may have been done all the same.
    pub(super) fn may_have_written(&self) -> bool {
        self.has_given_up() || matches!(self.cause, Cause::Lost)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The kind of error that this is where nothing was written, and what to do about it.
    pub(super) fn meaning(&self) -> (ErrorKind, &'static str) {
        match self.cause {
            Cause::Full => (ErrorKind::Full, "evict objects, or raise the quota"),
            Cause::TooLarge => (ErrorKind::TooLarge, "choose a connector for larger objects, or a smaller part_size"),
            Cause::Unsupported => {
                (ErrorKind::Unsupported, "where the server knows no conditional writes, set conditional_put = false")
            }
            Cause::Expired => (ErrorKind::Timeout, "look why it is slow, or raise the deadline"),
            Cause::NoBucket | Cause::Missing => (ErrorKind::Unavailable, "make the bucket, or correct its name"),
            Cause::Denied => {
                (ErrorKind::Unavailable, "correct the credentials, the region or the rights in the bucket")
            }
            Cause::NotReached => (ErrorKind::Unavailable, "check that the server runs, and the endpoint"),
            _ => (ErrorKind::Unavailable, "try again later"),
        }
    }

    /// Whether a later call could do better without anybody changing anything.
    pub(super) fn is_permanent(&self) -> bool {
        matches!(self.cause, Cause::NoBucket | Cause::Missing | Cause::Denied)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(Cause::Found(error), "")
    }
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        if let Some(trouble) = trouble_in(&error) {
            return trouble.into();
        }
        let cause = match &error {
            object_store::Error::NotFound { .. } => Cause::Missing,
            object_store::Error::AlreadyExists { .. }
            | object_store::Error::Precondition { .. }
            | object_store::Error::NotModified { .. } => Cause::Condition,
            object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => Cause::Unsupported,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => Cause::Denied,
            // An answer that the crate did not understand: it may have been a yes.
            _ => Cause::Lost,
        };
        Self::new(cause, innermost(&error))
    }
}

impl From<&Trouble> for Failure {
    fn from(trouble: &Trouble) -> Self {
        let cause = match trouble {
            Trouble::NotSent(_) => Cause::NotReached,
            Trouble::Broken(_) => Cause::Lost,
            Trouble::Refused { status, code, .. } => meaning_of(*status, code),
        };
        Self::new(cause, trouble.to_string())
    }
}

fn meaning_of(status: StatusCode, code: &str) -> Cause {
    let codes = |known: &[&str]| known.iter().any(|known| code.contains(known));
    if codes(&["StorageFull", "QuotaExceeded"]) {
        return Cause::Full;
    }
    match status.as_u16() {
        404 if codes(&["NoSuchBucket", "ContainerNotFound"]) => Cause::NoBucket,
        404 => Cause::Missing,
        // Two conditional writes at the same time: one of them has to be repeated.
        409 if codes(&["ConditionalRequestConflict", "OperationAborted"]) => Cause::Busy,
        304 | 409 | 412 => Cause::Condition,
        413 => Cause::TooLarge,
        416 => Cause::Range,
        507 => Cause::Full,
        501 => Cause::Unsupported,
        408 | 429 | 503 => Cause::Busy,
        _ if codes(&["EntityTooLarge", "RequestBodyTooLarge"]) => Cause::TooLarge,
        _ if codes(&["RequestTimeout", "SlowDown"]) => Cause::Busy,
        500.. => Cause::Lost,
        _ => Cause::Denied,
    }
}

/// Our own words, from within the errors of the crate, which may show a URL with a signature.
fn trouble_in(error: &object_store::Error) -> Option<&Trouble> {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |error| (*error).source()).find_map(|error| error.downcast_ref())
}

fn innermost(error: &object_store::Error) -> String {
    let first: &(dyn StdError + 'static) = error;
    let last = std::iter::successors(Some(first), |error| (*error).source()).last();
    let text = last.map_or_else(String::new, ToString::to_string);
    text.lines().next().unwrap_or_default().chars().filter(|letter| !letter.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::client::{HttpError, HttpErrorKind};

    fn refused(status: u16, code: &str) -> Failure {
        (&Trouble::Refused {
            place: "http://host:9000".to_owned(),
            status: StatusCode::from_u16(status).unwrap(),
            code: code.to_owned(),
            reason: String::new(),
        })
            .into()
    }

    #[test]
    fn our_words_are_found_in_the_errors_of_the_crate() {
        let error = HttpError::new(HttpErrorKind::Connect, Trouble::NotSent("nobody is there".to_owned()));
        let failure = Failure::from(object_store::Error::Generic { store: "S3", source: Box::new(error) });
        assert!(matches!(failure.cause, Cause::NotReached));
        assert_eq!(failure.text(), "nobody is there");
    }

    #[test]
    fn answers_have_meanings() {
        for (status, code, kind, passing, permanent) in [
            (403, "InvalidAccessKeyId", ErrorKind::Unavailable, false, true),
            (404, "NoSuchBucket", ErrorKind::Unavailable, false, true),
            (400, "EntityTooLarge", ErrorKind::TooLarge, false, false),
            (413, "", ErrorKind::TooLarge, false, false),
            (507, "", ErrorKind::Full, false, false),
            (500, "XMinioStorageFull", ErrorKind::Full, false, false),
            (503, "SlowDown", ErrorKind::Unavailable, true, false),
            (429, "", ErrorKind::Unavailable, true, false),
            (409, "ConditionalRequestConflict", ErrorKind::Unavailable, true, false),
            (500, "InternalError", ErrorKind::Unavailable, true, false),
            (501, "NotImplemented", ErrorKind::Unsupported, false, false),
        ] {
            let failure = refused(status, code);
            let found = (failure.meaning().0, failure.is_passing(), failure.is_permanent());
            assert_eq!(found, (kind, passing, permanent), "{status} {code}");
        }
        assert!(refused(500, "").may_have_written() && !refused(503, "").may_have_written());
    }
}
