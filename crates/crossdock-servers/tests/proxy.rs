//! The proxy loses what it should, and nothing else. The server here answers each line with the same line.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossdock_servers::{Fault, LossyProxy, Rule, Then};

/// Bytes that the server read.
static READ: AtomicUsize = AtomicUsize::new(0);

/// A server that lives as long as the test; each test's counts bytes of its own.
fn echo(read: &'static AtomicUsize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                let mut line = Vec::new();
                loop {
                    let outcome = reader.read_until(b'\n', &mut line);
                    read.fetch_add(line.len(), Ordering::SeqCst);
                    if !line.ends_with(b"\n") || outcome.is_err() || (&stream).write_all(&line).is_err() {
                        break;
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

fn proxy() -> LossyProxy {
    LossyProxy::before(echo(&READ)).unwrap()
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn of(proxy: &LossyProxy) -> Self {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The line that comes back, `""` at the end of the stream.
    fn receive(&mut self) -> Result<String, ErrorKind> {
        let mut line = String::new();
        self.0.read_line(&mut line).map_err(|error| error.kind())?;
        Ok(line)
    }

    fn ask(&mut self, text: &str) -> Result<String, ErrorKind> {
        self.send(text);
        self.receive()
    }

    fn hears_nothing(&mut self) -> bool {
        self.0.get_ref().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let nothing = self.receive() == Err(ErrorKind::WouldBlock);
        self.0.get_ref().set_read_timeout(None).unwrap();
        nothing
    }
}

fn line(text: &str) -> Result<String, ErrorKind> {
    Ok(text.to_owned())
}

#[test]
fn passes_everything_on() {
    let proxy = proxy();
    let mut client = Client::of(&proxy);
    assert_eq!(client.ask("one\n"), line("one\n"));
    client.send("tw");
    assert_eq!(client.ask("o\n"), line("two\n"));
    let long = "x".repeat(3_000_000) + "\n";
    let sent = long.clone();
    let mut writing = client.0.get_ref().try_clone().unwrap();
    let writer = thread::spawn(move || writing.write_all(sent.as_bytes()).unwrap());
    assert!(client.receive().unwrap() == long);
    writer.join().unwrap();
    let counts = proxy.counts().unwrap();
    assert_eq!((counts.connections, counts.requests, counts.replies, counts.faults), (1, 3, 3, 0));
}

#[test]
fn drops_replies() {
    let proxy = proxy();
    proxy.obey(Rule::new(Fault::DropReply(Then::Close)).to("SET").skip(1).times(2)).unwrap();
    let mut client = Client::of(&proxy);
    assert_eq!(client.ask("LOGIN\n"), line("LOGIN\n"));
    assert_eq!(client.ask("SET 1\n"), line("SET 1\n"));
    assert_eq!(client.ask("SET 2\n"), line(""));
    assert_eq!(Client::of(&proxy).ask("SET 3\n"), line(""));
    assert_eq!(Client::of(&proxy).ask("SET 4\n"), line("SET 4\n"));
    assert_eq!(proxy.counts().unwrap().faults, 2);

    proxy.obey(Rule::new(Fault::DropReply(Then::Reset))).unwrap();
    proxy.obey(Rule::new(Fault::DropReply(Then::Silence))).unwrap();
    assert_eq!(Client::of(&proxy).ask("SET 5\n"), Err(ErrorKind::ConnectionReset));
    let mut client = Client::of(&proxy);
    client.send("SET 6\n");
    assert!(client.hears_nothing());
    client.send("SET 7\n");
    assert!(client.hears_nothing());
    proxy.obey(Rule::new(Fault::DropReply(Then::Close))).unwrap();
    proxy.forget_rules().unwrap();
    assert_eq!(Client::of(&proxy).ask("SET 8\n"), line("SET 8\n"));
}

#[test]
fn cuts_requests_and_replies() {
    static READ: AtomicUsize = AtomicUsize::new(0);
    let proxy = LossyProxy::before(echo(&READ)).unwrap();
    proxy.obey(Rule::new(Fault::CutRequest(10)).to("hell")).unwrap();
    assert_eq!(Client::of(&proxy).ask("other than that\n"), line("other than that\n"));
    let before = READ.load(Ordering::SeqCst);
    let mut client = Client::of(&proxy);
    client.send("hell");
    assert_eq!(client.ask("o, server\n"), Err(ErrorKind::ConnectionReset));
    let begin = Instant::now();
    while READ.load(Ordering::SeqCst) < before + 10 && begin.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(READ.load(Ordering::SeqCst), before + 10);

    proxy.obey(Rule::new(Fault::CutReply(4))).unwrap();
    let mut client = Client::of(&proxy);
    client.send("hello\n");
    let mut got = Vec::new();
    assert_eq!(client.0.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(got, b"hell");
    assert_eq!(proxy.counts().unwrap().faults, 2);
}

#[test]
fn is_cut_and_mended() {
    let proxy = proxy();
    let mut client = Client::of(&proxy);
    assert_eq!(client.ask("one\n"), line("one\n"));
    proxy.reset().unwrap();
    assert_eq!(client.receive(), Err(ErrorKind::ConnectionReset));
    let mut client = Client::of(&proxy);
    assert_eq!(client.ask("two\n"), line("two\n"));
    proxy.cut().unwrap();
    assert_eq!(client.receive(), Err(ErrorKind::ConnectionReset));
    assert_eq!(TcpStream::connect(proxy.address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    proxy.mend().unwrap();
    assert_eq!(Client::of(&proxy).ask("three\n"), line("three\n"));
}

#[test]
fn is_silent_for_a_while() {
    let proxy = proxy();
    let mut client = Client::of(&proxy);
    assert_eq!(client.ask("one\n"), line("one\n"));
    proxy.silence().unwrap();
    let mut other = Client::of(&proxy);
    for client in [&mut client, &mut other] {
        client.send("two\n");
        assert!(client.hears_nothing());
    }
    proxy.mend().unwrap();
    assert_eq!(client.receive(), line("two\n"));
    assert_eq!(other.receive(), line("two\n"));
}

#[test]
fn delays() {
    let proxy = proxy();
    let each = Duration::from_millis(20);
    proxy.delay(each).unwrap();
    let begin = Instant::now();
    assert_eq!(Client::of(&proxy).ask("one\n"), line("one\n"));
    assert!(begin.elapsed() >= 2 * each);
}

#[test]
fn ends_when_either_side_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = LossyProxy::before(listener.local_addr().unwrap()).unwrap();
    let mut client = Client::of(&proxy);
    let (mut server, _) = listener.accept().unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);

    client = Client::of(&proxy);
    (server, _) = listener.accept().unwrap();
    server.write_all(b"bye\n").unwrap();
    drop(server);
    assert_eq!((client.receive(), client.receive()), (line("bye\n"), line("")));

    client = Client::of(&proxy);
    let (server, _) = listener.accept().unwrap();
    drop(proxy);
    assert_eq!(client.receive(), Err(ErrorKind::ConnectionReset));
    assert!((&server).read(&mut [0]).is_err());
}

#[test]
fn a_server_that_is_not_there_is_a_reset_or_an_end() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = LossyProxy::before(nobody).unwrap();
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    let mut text = String::new();
    assert!(stream.read_to_string(&mut text).is_err() || text.is_empty());
}

/// A thousand here; the time is told to whoever asks with `--nocapture`.
#[test]
fn is_cheap_for_each_lost_reply() {
    let proxy = proxy();
    let count = 1_000;
    proxy.obey(Rule::new(Fault::DropReply(Then::Close)).times(count)).unwrap();
    let begin = Instant::now();
    for n in 0..count {
        assert_eq!(Client::of(&proxy).ask(&format!("SET {n}\n")), line(""));
    }
    println!("{count} lost replies, {:?} each", begin.elapsed() / 1_000);
    assert_eq!(Client::of(&proxy).ask("done\n"), line("done\n"));
    assert_eq!(proxy.counts().unwrap().faults, count);
}
