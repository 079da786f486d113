//! The Redis connector beside a bare socket and the crate `redis`.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use crossdock::connectors::{RedisConnector, RedisOptions};
use crossdock_bench::{Outcome, Target};
use crossdock_servers::{Program, Redis, missing};

use crate::bench::{BARE, Bench, Channel, Held, Own, Store};
use crate::rivals;

const NAME: &str = "Redis";
/// How many times as long as a bare round trip a small call may take.
const TARGET: f64 = 1.25;
const BATCH: (usize, u64) = (1_000, 1_000);

fn targets(_: &str, size: u64, other: &str) -> Option<Target> {
    (size <= 1_000 && other == BARE).then_some(Target::AtMost(TARGET))
}

/// A server that takes objects of any size.
pub(crate) fn server() -> Outcome<Redis> {
    if let Some(why) = missing(&[Program::Redis]) {
        return Err(why.into());
    }
    let room = "4gb";
    let options = crossdock_servers::RedisOptions::new();
    Ok(Redis::start(&options.set("proto-max-bulk-len", room).set("client-query-buffer-limit", room))?)
}

pub(crate) fn connector(port: u16) -> Outcome<RedisConnector> {
    Ok(RedisConnector::open(&RedisOptions::new("127.0.0.1", port))?)
}

pub(crate) fn measure(bench: &mut Bench) -> Outcome {
    let server = server()?;
    let ours = connector(server.address().port())?;
    let mut stores: Vec<Box<dyn Store>> =
        vec![Box::new(RefCell::new(Bare::connect(&server)?)), Box::new(Own { connector: ours, has_views: false })];
    stores.extend(rivals::redis(&server)?);
    let channel = Channel { name: NAME, bare: "bare socket", stores, targets, note: "", copies: true };
    // One object of everybody's, one that comes in twice, and what clients pack and unpack.
    bench.each_size(NAME, bench.plan.largest_moved, 9, |bench, size| bench.puts_and_gets(&channel, size))?;
    let version = server.command(&["INFO", "server"])?.text();
    let version = version.lines().find_map(|line| line.strip_prefix("redis_version:")).map(|it| it.trim().to_owned());
    bench.report.versions.extend(version.map(|version| ("redis-server".to_owned(), version)));
    bench.batches(&channel, BATCH, None)
}

/// A connection, and nothing around it: one request, one reply that is not looked at. In a batch, all requests, then all
/// replies.
struct Bare {
    stream: TcpStream,
    reply: Vec<u8>,
}

/// Larger objects are written from where they lie, in bytes.
const PACKED: usize = 128 << 10;

impl Bare {
    fn connect(server: &Redis) -> io::Result<Self> {
        let stream = TcpStream::connect(server.address())?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, reply: vec![0; 256 << 10] })
    }

    fn set(&mut self, name: &str, object: &[u8]) -> io::Result<()> {
        let mut request = set_head(name, object.len());
        if object.len() <= PACKED {
            request.extend_from_slice(object);
            request.extend_from_slice(b"\r\n");
            self.stream.write_all(&request)?;
        } else {
            self.stream.write_all(&request)?;
            self.stream.write_all(object)?;
            self.stream.write_all(b"\r\n")?;
        }
        self.skip(OK.len())
    }

    /// How many bytes the reply says that it has.
    fn get(&mut self, name: &str) -> io::Result<u64> {
        self.stream.write_all(&get_of(name))?;
        let read = self.stream.read(&mut self.reply)?;
        let (size, head) = head_of(&self.reply[..read])?;
        self.skip((head + size + 2).saturating_sub(read))?;
        Ok(size as u64)
    }

    fn skip(&mut self, mut bytes: usize) -> io::Result<()> {
        while bytes > 0 {
            let part = bytes.min(self.reply.len());
            match self.stream.read(&mut self.reply[..part])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => bytes -= read,
            }
        }
        Ok(())
    }

    /// What has come meanwhile, behind what was there.
    fn more(&mut self, reply: &mut Vec<u8>) -> io::Result<()> {
        match self.stream.read(&mut self.reply)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                reply.extend_from_slice(&self.reply[..read]);
                Ok(())
            }
        }
    }

    fn unlink<'a>(&mut self, names: impl ExactSizeIterator<Item = &'a str>) -> io::Result<()> {
        let count = names.len();
        let head = format!("*{}\r\n$6\r\nUNLINK\r\n", count + 1);
        let request = names.fold(head, |request, name| request + "$36\r\n" + name + "\r\n");
        self.stream.write_all(request.as_bytes())?;
        self.skip(format!(":{count}\r\n").len())
    }
}

const OK: &str = "+OK\r\n";

fn set_head(name: &str, size: usize) -> Vec<u8> {
    format!("*3\r\n$3\r\nSET\r\n$36\r\n{name}\r\n${size}\r\n").into_bytes()
}

fn get_of(name: &str) -> Vec<u8> {
    format!("*2\r\n$3\r\nGET\r\n$36\r\n{name}\r\n").into_bytes()
}

/// The size of the object of which a reply begins like that, and how long its head is.
fn head_of(reply: &[u8]) -> io::Result<(usize, usize)> {
    let end = reply.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
    let head = end.and_then(|end| std::str::from_utf8(&reply[..end]).ok());
    let size = head.and_then(|head| head.strip_prefix('$')?.trim_end().parse().ok());
    size.zip(end).ok_or_else(|| io::Error::other("the server has answered something else than an object"))
}

impl Store for RefCell<Bare> {
    fn name(&self) -> &'static str {
        BARE
    }

    fn put(&self, object: &Bytes) -> Outcome<Held> {
        let name = Held::new_name();
        self.borrow_mut().set(&name, object)?;
        Ok(Held::Name(name))
    }

    fn get(&self, held: &Held) -> Outcome<u64> {
        Ok(self.borrow_mut().get(held.name()?)?)
    }

    fn evict(&self, held: Held) -> Outcome {
        Ok(self.borrow_mut().unlink([held.name()?].into_iter())?)
    }

    fn put_batch(&self, objects: &[Bytes]) -> Outcome<Vec<Held>> {
        let names: Vec<String> = objects.iter().map(|_| Held::new_name()).collect();
        let mut request = Vec::new();
        for (name, object) in names.iter().zip(objects) {
            request.extend(set_head(name, object.len()));
            request.extend_from_slice(object);
            request.extend_from_slice(b"\r\n");
        }
        let mut bare = self.borrow_mut();
        bare.stream.write_all(&request)?;
        bare.skip(objects.len() * OK.len())?;
        Ok(names.into_iter().map(Held::Name).collect())
    }

    fn get_batch(&self, held: &[Held]) -> Outcome<u64> {
        let mut bare = self.borrow_mut();
        let mut request = Vec::new();
        for held in held {
            request.extend(get_of(held.name()?));
        }
        bare.stream.write_all(&request)?;
        let (mut reply, mut place, mut all) = (Vec::new(), 0, 0);
        for _ in held {
            let (size, head) = loop {
                match head_of(&reply[place..]) {
                    Ok(found) => break found,
                    Err(_) => bare.more(&mut reply)?,
                }
            };
            place += head + size + 2;
            while reply.len() < place {
                bare.more(&mut reply)?;
            }
            all += size as u64;
        }
        Ok(all)
    }

    fn evict_batch(&self, held: Vec<Held>) -> Outcome {
        let names = held.iter().map(Held::name).collect::<Outcome<Vec<&str>>>()?;
        Ok(self.borrow_mut().unlink(names.into_iter())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_reply_says_the_size() {
        assert_eq!(head_of(b"$10\r\n0123").unwrap(), (10, 5));
        for reply in [&b"$10\r"[..], b"$-1\r\n", b"-ERR\r\n", b""] {
            assert!(head_of(reply).is_err());
        }
    }
}
