//! What the Redis connector adds to a bare round trip: one request, one reply that is not looked at.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use crossdock::connectors::{RedisConnector, RedisOptions};
use crossdock::{Connector, GetOptions, PutOptions};
use crossdock_bench::{Contestant, spread, take_turns};
use crossdock_servers::{Program, Redis, missing};

const ROUNDS: usize = 60;
const CALLS: u32 = 300;
/// How many times as long as a bare round trip a small call may take.
const TARGET: f64 = 1.25;

/// Prints a table. How many targets were missed.
pub(crate) fn compare() -> usize {
    if let Some(why) = missing(&[Program::Redis]) {
        println!("\nRedis: skipped: {why}");
        return 0;
    }
    let server = Redis::start(&crossdock_servers::RedisOptions::new()).expect("a server");
    println!("\nRedis over loopback: {ROUNDS} rounds in turn of {CALLS} calls each, microseconds a call.");
    println!("Quartiles over the rounds; the ratio is taken round by round.\n");
    println!("{:<16} {:>24} {:>24} {:>24} {:>8}", "", "bare", "crossdock", "times as long", "target");
    [10, 1_000].into_iter().map(|size| puts(&server, size) + gets(&server, size)).sum()
}

fn connector(server: &Redis) -> RedisConnector {
    let address = server.address();
    RedisConnector::open(&RedisOptions::new(&address.ip().to_string(), address.port())).expect("a server")
}

/// Both store under new names.
fn puts(server: &Redis, size: usize) -> usize {
    let (redis, object) = (connector(server), Bytes::from(vec![7; size]));
    let bare = RefCell::new(Bare::connect(server).expect("a server"));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let mut contestants: [Contestant<'_>; 2] = [
            Box::new(|| bare.borrow_mut().set(&object).expect("an answer")),
            Box::new(|| drop(redis.put(object.clone(), &PutOptions::new()).expect("an answer"))),
        ];
        let round = take_turns(&mut contestants, 1, CALLS);
        times.iter_mut().zip(round).for_each(|(all, one)| all.extend(one));
        // Outside of the times, so that the server stays as it is.
        server.command(&["FLUSHALL"]).expect("an answer");
    }
    row(&format!("put, {size} B"), &times)
}

fn gets(server: &Redis, size: usize) -> usize {
    let (redis, object) = (connector(server), Bytes::from(vec![7; size]));
    let mut bare = Bare::connect(server).expect("a server");
    bare.set(&object).expect("an answer");
    let key = redis.put(object, &PutOptions::new()).expect("an answer");
    let mut contestants: [Contestant<'_>; 2] = [
        Box::new(|| bare.get(size).expect("an answer")),
        Box::new(|| drop(redis.get(&key, &GetOptions::default()).expect("an answer"))),
    ];
    let times = take_turns(&mut contestants, ROUNDS, CALLS);
    row(&format!("get, {size} B"), &times)
}

fn row(what: &str, times: &[Vec<f64>]) -> usize {
    let [bare, ours] = times else { return 0 };
    let ratios: Vec<f64> = ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect();
    let micros = |figures: &[f64]| quartiles_of(spread(figures).map(|nanos| nanos / 1e3), 1);
    let ratio = spread(&ratios);
    let is_met = ratio[1] <= TARGET;
    println!(
        "{what:<16} {:>24} {:>24} {:>24} {:>8}  {}",
        micros(bare),
        micros(ours),
        quartiles_of(ratio, 2),
        TARGET,
        if is_met { "met" } else { "MISSED" },
    );
    usize::from(!is_met)
}

fn quartiles_of([low, middle, high]: [f64; 3], digits: usize) -> String {
    format!("{low:.digits$} / {middle:.digits$} / {high:.digits$}")
}

/// A connection, and nothing around it.
struct Bare {
    stream: TcpStream,
    /// A name of 36 bytes, counted up.
    names: u64,
    reply: Vec<u8>,
}

impl Bare {
    fn connect(server: &Redis) -> io::Result<Self> {
        let stream = TcpStream::connect(server.address())?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, names: 0, reply: vec![0; 64 << 10] })
    }

    fn set(&mut self, object: &[u8]) -> io::Result<()> {
        self.names += 1;
        let mut request = format!("*3\r\n$3\r\nSET\r\n$36\r\n{:036}\r\n${}\r\n", self.names, object.len()).into_bytes();
        request.extend_from_slice(object);
        request.extend_from_slice(b"\r\n");
        self.stream.write_all(&request)?;
        self.stream.read_exact(&mut self.reply[..b"+OK\r\n".len()])
    }

    fn get(&mut self, size: usize) -> io::Result<()> {
        self.stream.write_all(format!("*2\r\n$3\r\nGET\r\n$36\r\n{:036}\r\n", self.names).as_bytes())?;
        let mut missing = format!("${size}\r\n").len() + size + 2;
        while missing > 0 {
            missing -= self.stream.read(&mut self.reply)?;
        }
        Ok(())
    }
}
