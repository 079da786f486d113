//! Commands to a proxy.

use std::str::FromStr;
use std::time::Duration;

use crossdock_servers::{Error, Fault, LossyProxy, Result, Rule, Then};
use serde_json::{Map, json};

use crate::obey::{Answer, unknown};

pub(crate) fn obey(proxy: &LossyProxy, words: &[&str]) -> Answer {
    match words {
        ["drop", rest @ ..] => drop_replies(proxy, Then::Close, rest)?,
        ["drop-reset", rest @ ..] => drop_replies(proxy, Then::Reset, rest)?,
        ["drop-silence", rest @ ..] => drop_replies(proxy, Then::Silence, rest)?,
        ["cut-request", bytes, rest @ ..] => proxy.obey(rule(Fault::CutRequest(number(bytes)?), rest)?)?,
        ["cut-reply", bytes, rest @ ..] => proxy.obey(rule(Fault::CutReply(number(bytes)?), rest)?)?,
        ["delay", milliseconds] => proxy.delay(Duration::from_millis(number(milliseconds)?))?,
        ["reset"] => proxy.reset()?,
        ["cut"] => proxy.cut()?,
        ["silence"] => proxy.silence()?,
        ["mend"] => proxy.mend()?,
        ["forget"] => proxy.forget_rules()?,
        ["counts"] => {}
        _ => return Err(unknown(&[&["proxy"], words].concat())),
    }
    let counts = proxy.counts()?;
    let said = [
        ("connections", counts.connections),
        ("requests", counts.requests),
        ("replies", counts.replies),
        ("faults", counts.faults),
    ];
    Ok(said.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect::<Map<_, _>>())
}

fn drop_replies(proxy: &LossyProxy, then: Then, words: &[&str]) -> Result<()> {
    let (times, rest) = match words {
        [] => (1, words),
        [times, rest @ ..] => (number(times)?, rest),
    };
    proxy.obey(rule(Fault::DropReply(then), rest)?.times(times))
}

/// What the request contains, and how many of those pass first.
fn rule(fault: Fault, words: &[&str]) -> Result<Rule> {
    let rule = Rule::new(fault);
    match words {
        [] => Ok(rule),
        [containing] => Ok(rule.to(containing)),
        [containing, skip] => Ok(rule.to(containing).skip(number(skip)?)),
        _ => Err(unknown(words)),
    }
}

fn number<T: FromStr>(word: &str) -> Result<T> {
    word.parse().map_err(|_| Error::Failed(format!("{word:?} is not a number that fits")))
}
