//! Batches over several connectors: routed first, grouped by connector, undone when a share fails.

use super::way::{Step, Way};
use super::{Dispatcher, also_failed};
use crate::error::{Error, ErrorKind, Result};
use crate::health::Work;
use crate::options::PutOptions;
use crate::policy::Request;

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

/// An item of a batch that still has to be written.
struct Pending {
    /// Its place in the batch.
    item: usize,
    /// The connector that is to be asked.
    connector: usize,
    /// How it got there.
    way: Way,
}

/// Which open connectors one round of a batch tries: what is a probe for one item is so for all of its share.
struct Gates<'a> {
    dispatcher: &'a Dispatcher,
    decided: Vec<(usize, bool)>,
}

impl Gates<'_> {
    fn lets_through(&mut self, place: usize) -> bool {
        if !self.dispatcher.breakers[place].is_open() {
            return true;
        }
        if let Some((_, decided)) = self.decided.iter().find(|(decided, _)| *decided == place) {
            return *decided;
        }
        let lets_through = self.dispatcher.lets_through(place, Work::Put);
        self.decided.push((place, lets_through));
        lets_through
    }

    /// The round does not take place.
    fn give_up(&self) {
        let let_through = self.decided.iter().filter(|(_, lets_through)| *lets_through);
        let_through.for_each(|(place, _)| self.dispatcher.breakers[*place].was_not_tried((self.dispatcher.clock)()));
    }
}

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
    /// 1. Route every item, past connectors that are skipped; nothing is written if one has no route.
    /// 2. `write` hands each connector its share as one batch and says for each share which keys came back, or why it
    ///    failed.
    /// 3. A share that failed goes to where each item goes next, as in [`put`](Self::put), where the policy says
    ///    `fallback`; back to 2.
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
        let mut pending = self.begin(batch)?;
        while !pending.is_empty() {
            let shares = group(pending.iter().map(|one| (one.item, one.connector)));
            let outcomes = write(&shares);
            let mut gates = self.gates();
            let mut again = Vec::new();
            let mut is_lost = false;
            for (share, outcome) in shares.iter().zip(outcomes) {
                match outcome.and_then(|keys| same_count(keys, share.items.len())) {
                    Ok(keys) => {
                        self.breakers[share.connector].succeeded(Work::Put);
                        let items = share.items.iter().zip(keys);
                        items.for_each(|(item, key)| written[*item] = Some((share.connector, key)));
                    }
                    Err(error) => {
                        let error = self.judged(share.connector, Work::Put, error);
                        let mine = pending.extract_if(.., |one| one.connector == share.connector).collect();
                        let next = self.go_on(mine, &error, batch, &mut gates);
                        failed = Some(also_failed(failed, error));
                        match next {
                            Ok(next) => again.extend(next),
                            Err(left_out) => {
                                is_lost = true;
                                failed = failed.map(|error| self.with_left_out(error, &left_out));
                            }
                        }
                    }
                }
            }
            if let Some(error) = failed.take_if(|_| is_lost) {
                gates.give_up();
                return Err(undo(written.into_iter().flatten().collect(), error));
            }
            pending = again;
        }
        // Step 1 gave every item a connector, and only written items leave `pending`.
        Ok(written.into_iter().flatten().collect())
    }

    fn gates(&self) -> Gates<'_> {
        Gates { dispatcher: self, decided: Vec::new() }
    }

    /// Step 1.
    fn begin(&self, batch: Batch<'_>) -> Result<Vec<Pending>> {
        let count = batch.sizes.len();
        let hosts = self.hosts(&batch.request(0));
        let hosts = hosts.as_ref().map(|table| &***table);
        let nothing_written =
            |error: Error, item| error.context(format_args!("this is object {item} of {count}, nothing was written"));
        let route = |item| match self.router.next(&batch.request(item), hosts, 0) {
            Some(candidate) => Ok((item, candidate.position)),
            None => Err(nothing_written(self.no_route(&batch.request(item)), item)),
        };
        // All have a route before anything is counted as a probe.
        let routed: Vec<(usize, usize)> = (0..count).map(route).collect::<Result<_>>()?;
        let mut gates = self.gates();
        let first = |(item, position)| {
            let mut way = Way::starting_at(position);
            let request = batch.request(item);
            match self.step(&mut way, &request, hosts, |place| gates.lets_through(place)) {
                Step::Ask(connector) => Ok(Pending { item, connector, way }),
                Step::Refuse(place) => Err(nothing_written(self.refusal(place), item)),
                Step::End => Err(nothing_written(self.no_route(&request), item)),
            }
        };
        routed.into_iter().map(first).collect::<Result<_>>().inspect_err(|_| gates.give_up())
    }

    /// Step 3: where each item of a share that failed goes next.
    ///
    /// # Errors
    /// Where the policy forbids it, or one of them has nowhere to go: the connectors that were skipped and not tried.
    fn go_on(
        &self,
        failed: Vec<Pending>,
        error: &Error,
        batch: Batch<'_>,
        gates: &mut Gates<'_>,
    ) -> Result<Vec<Pending>, Vec<usize>> {
        let next = |Pending { item, connector, mut way }: Pending| {
            let request = batch.request(item);
            let hosts = self.hosts(&request);
            let hosts = hosts.as_ref().map(|table| &***table);
            if !way.goes_on_after(&self.lanes[connector].policy, error) {
                return Err(way.left_out().to_vec());
            }
            match self.step(&mut way, &request, hosts, |place| gates.lets_through(place)) {
                Step::Ask(connector) => Ok(Pending { item, connector, way }),
                Step::Refuse(_) | Step::End => Err(Vec::new()),
            }
        };
        failed.into_iter().map(next).collect()
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
