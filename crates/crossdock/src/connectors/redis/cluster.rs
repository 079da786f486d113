//! Which node of a cluster has which key.

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::failure::{Cause, Failure};
use super::resp::Reply;
use crate::deadline::Deadline;

const SLOTS: usize = 16_384;

/// The nodes of a cluster, by slot.
pub(super) struct Slots {
    nodes: Vec<Endpoint>,
    /// For each slot the place of its node; one that nobody serves has none.
    places: Box<[Option<u16>]>,
}

impl Slots {
    /// Asks a node for the map.
    pub(super) fn ask(connection: &mut Connection, deadline: &Deadline) -> Result<Self, Failure> {
        let reply = connection.ask(&[b"CLUSTER", b"SLOTS"], deadline)?;
        let read = Self::read(&reply, connection.endpoint());
        read.ok_or_else(|| Failure::before_sending(Cause::Protocol("a map of a cluster that is none")))
    }

    /// `[[first, last, [host, port, ...], replicas...], ...]`; a node without a host is the one that was asked.
    fn read(reply: &Reply, asked: &Endpoint) -> Option<Self> {
        let mut slots = Self { nodes: Vec::new(), places: vec![None; SLOTS].into() };
        for range in reply.items()? {
            let [first, last, primary, ..] = range.items()? else { return None };
            let (first, last) = (usize::try_from(first.integer()?).ok()?, usize::try_from(last.integer()?).ok()?);
            let [host, port, ..] = primary.items()? else { return None };
            let node = node(host.text().unwrap_or_default(), port.integer()?, asked)?;
            let place = slots.place_of(node)?;
            slots.places.get_mut(first..=last)?.fill(Some(place));
        }
        Some(slots)
    }

    fn place_of(&mut self, node: Endpoint) -> Option<u16> {
        let known = self.nodes.iter().position(|known| *known == node);
        let place = known.unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        });
        u16::try_from(place).ok()
    }

    pub(super) fn node_of(&self, key: &[u8]) -> Option<&Endpoint> {
        let place = (*self.places.get(slot(key))?)?;
        self.nodes.get(usize::from(place))
    }

    pub(super) fn nodes(&self) -> &[Endpoint] {
        &self.nodes
    }
}

fn node(host: &str, port: i64, asked: &Endpoint) -> Option<Endpoint> {
    let port = u16::try_from(port).ok()?;
    match (host, asked) {
        ("" | "?", Endpoint::Tcp(host, _)) => Some(Endpoint::Tcp(host.clone(), port)),
        ("" | "?", Endpoint::Unix(_)) => Some(asked.clone()),
        _ => Some(Endpoint::Tcp(host.to_owned(), port)),
    }
}

/// Where a refusal sends us: `host:port`, or `:port` on the host that was asked.
pub(super) fn redirected(to: &str, asked: &Endpoint) -> Option<Endpoint> {
    let (host, port) = to.rsplit_once(':')?;
    node(host.trim_matches(['[', ']']), port.parse().ok()?, asked)
}

/// The slot of a key: CRC-16/XMODEM of it, or of what stands between its first braces.
fn slot(key: &[u8]) -> usize {
    let tagged = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inside = &key[open + 1..];
        let close = inside.iter().position(|byte| *byte == b'}').filter(|length| *length > 0)?;
        inside.get(..close)
    });
    usize::from(crc16(tagged.unwrap_or(key))) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8)
            .fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that the specification of clusters gives, and `CLUSTER KEYSLOT` answers.
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), slot(b"foo{}{bar}"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }

    #[test]
    fn maps_that_are_none_are_refused() {
        let asked = Endpoint::Tcp("here".to_owned(), 7000);
        let text = |text: &str| Reply::String(Some(text.as_bytes().to_vec()));
        let array = |items| Reply::Array(Some(items));
        let map = |first, last, host: &str, port| {
            array(vec![array(vec![
                Reply::Integer(first),
                Reply::Integer(last),
                array(vec![text(host), Reply::Integer(port), text("id")]),
            ])])
        };
        let read = Slots::read(&map(0, 16_383, "", 7001), &asked).unwrap();
        assert_eq!(read.node_of(b"any"), Some(&Endpoint::Tcp("here".to_owned(), 7001)));
        for wrong in [map(0, 16_384, "a", 1), map(-1, 5, "a", 1), map(7, 3, "a", 1), map(0, 1, "a", 70_000), text("no")]
        {
            assert!(Slots::read(&wrong, &asked).is_none());
        }
        assert_eq!(redirected(":7002", &asked), Some(Endpoint::Tcp("here".to_owned(), 7002)));
        assert_eq!(redirected("::1:7002", &asked), Some(Endpoint::Tcp("::1".to_owned(), 7002)));
    }
}
