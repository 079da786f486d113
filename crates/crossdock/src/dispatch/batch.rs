//! Batches over several connectors: routed first, grouped by connector, undone when a share fails.

use super::{Dispatcher, also_failed, may_go_on};
use crate::error::{Error, ErrorKind, Result};
use crate::options::PutOptions;
use crate::policy::Request;
use crate::router::Candidate;

/// The items of a batch that go to one connector.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// The connector's place.
    pub connector: usize,
    /// The items' places in the batch, in its order.
    pub items: Vec<usize>,
}

/// Groups items by connector, both in the order of first appearance.
fn group(routed: impl Iterator<Item = (usize, usize)>) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    for (item, connector) in routed {
        match shares.iter_mut().find(|share| share.connector == connector) {
            Some(share) => share.items.push(item),
            None => shares.push(Share { connector, items: vec![item] }),
        }
    }
    shares
}

/// Items of a batch that still have to be written, each with the connector that is to be asked.
type Pending = Vec<(usize, Candidate)>;

/// What the items of one batch have in common, and their sizes.
#[derive(Clone, Copy)]
struct Batch<'a> {
    sizes: &'a [u64],
    options: &'a PutOptions,
    hostname: Option<&'a str>,
}

impl<'a> Batch<'a> {
    fn request(&self, item: usize) -> Request<'a> {
        let request = Request::for_put(self.sizes.get(item).copied(), self.options);
        Request { hostname: self.hostname, ..request }
    }
}

impl Dispatcher {
    /// A put of several objects, known by their sizes in bytes.
    ///
    /// 1. Route every item; nothing is written if one has no route.
    /// 2. `write` hands each connector its share as one batch and says for each share which keys came back, or why it
    ///    failed.
    /// 3. A share that failed goes to each item's next candidate where the policy says `fallback`; back to 2.
    /// 4. When a share fails for good: `undo` evicts what the others wrote, and says so in the error.
    ///
    /// # Errors
    /// `NoRoute` before anything is written, `Closed`, or what `write` said.
    pub fn put_batch<K>(
        &self,
        sizes: &[u64],
        options: &PutOptions,
        hostname: Option<&str>,
        mut write: impl FnMut(&[Share]) -> Vec<Result<Vec<K>>>,
        undo: impl FnOnce(Vec<(usize, K)>, Error) -> Error,
    ) -> Result<Vec<(usize, K)>> {
        self.require_open()?;
        let batch = Batch { sizes, options, hostname };
        let mut written: Vec<Option<(usize, K)>> = sizes.iter().map(|_| None).collect();
        let mut failed: Option<Error> = None;
        let mut pending = self.first_candidates(batch)?;
        while !pending.is_empty() {
            let shares = group(pending.iter().map(|(item, candidate)| (*item, candidate.index)));
            let outcomes = write(&shares);
            let mut again = Vec::new();
            let mut is_lost = false;
            for (share, outcome) in shares.iter().zip(outcomes) {
                match outcome.and_then(|keys| same_count(keys, share.items.len())) {
                    Ok(keys) => {
                        let items = share.items.iter().zip(keys);
                        items.for_each(|(item, key)| written[*item] = Some((share.connector, key)));
                    }
                    Err(error) => {
                        let error = error.in_connector(self.lanes[share.connector].name.clone());
                        let next = self.where_next(share, &error, &pending, batch);
                        is_lost |= next.is_none();
                        again.extend(next.into_iter().flatten());
                        failed = Some(also_failed(failed, error));
                    }
                }
            }
            if let Some(error) = failed.take_if(|_| is_lost) {
                return Err(undo(written.into_iter().flatten().collect(), error));
            }
            pending = again;
        }
        // Step 1 gave every item a candidate, and only written items leave `pending`.
        Ok(written.into_iter().flatten().collect())
    }

    /// Step 3: the next candidate of each item of a share that failed. `None` if the policy forbids it, or if one of
    /// them has nowhere to go.
    fn where_next(&self, failed: &Share, error: &Error, pending: &Pending, batch: Batch<'_>) -> Option<Pending> {
        if !may_go_on(&self.lanes[failed.connector].policy, error) {
            return None;
        }
        let mine = pending.iter().filter(|(_, candidate)| candidate.index == failed.connector);
        mine.map(|(item, candidate)| {
            let request = batch.request(*item);
            let hosts = self.hosts(&request);
            Some((*item, self.next(&request, hosts.as_ref(), candidate.position + 1)?))
        })
        .collect()
    }

    /// Step 1.
    fn first_candidates(&self, batch: Batch<'_>) -> Result<Pending> {
        let hosts = self.hosts(&batch.request(0));
        let route = |item| {
            let request = batch.request(item);
            match self.next(&request, hosts.as_ref(), 0) {
                Some(candidate) => Ok((item, candidate)),
                None => {
                    let place = format!("this is object {item} of {}, nothing was written", batch.sizes.len());
                    Err(self.no_route(&request).context(place))
                }
            }
        };
        (0..batch.sizes.len()).map(route).collect()
    }

    /// A get of several objects, known by the places of their connectors, as [`find`](Self::find) tells them: `read` asks
    /// each connector for its share at once.
    ///
    /// # Errors
    /// `Closed`, or the first thing that `read` said.
    pub fn get_batch<V>(
        &self,
        places: impl ExactSizeIterator<Item = usize>,
        read: impl FnOnce(&[Share]) -> Vec<Result<Vec<V>>>,
    ) -> Result<Vec<V>> {
        self.require_open()?;
        let mut found: Vec<Option<V>> = (0..places.len()).map(|_| None).collect();
        let shares = group(places.enumerate());
        for (share, outcome) in shares.iter().zip(read(&shares)) {
            let objects = outcome
                .and_then(|objects| same_count(objects, share.items.len()))
                .map_err(|error| error.in_connector(self.lanes[share.connector].name.clone()))?;
            share.items.iter().zip(objects).for_each(|(item, object)| found[*item] = Some(object));
        }
        // Every item is in a share, and every share has as many objects.
        Ok(found.into_iter().flatten().collect())
    }
}

/// A connector of somebody else may break the contract; items must not be mixed up over it.
fn same_count<T>(items: Vec<T>, wanted: usize) -> Result<Vec<T>> {
    if items.len() == wanted {
        return Ok(items);
    }
    let message = format!("the connector answered {} items to a batch of {wanted}", items.len());
    Err(Error::new(ErrorKind::Ambiguous, message))
}
