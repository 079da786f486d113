//! A server that knows the few answers that a test needs: for what `s3s-fs` does otherwise.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossdock::config::Reference;
use crossdock::connectors::ObjectStoreOptions;

/// What was asked, by method and path, and the conditions.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// A server that answers what `answer` says of a request; where that is nothing, it hangs up.
pub(crate) fn server(answer: fn(&str) -> String) -> std::io::Result<(ObjectStoreOptions, Asked)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let asked = Asked::default();
    let log = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = log.clone();
            thread::spawn(move || serve(stream, answer, &log));
        }
    });
    let options = ObjectStoreOptions::new("s3://bucket/my/prefix")
        .option("endpoint", Reference::literal(&endpoint))
        .option("access_key_id", Reference::literal("me"))
        .option("secret_access_key", Reference::new("${file:/proc/self/comm}").expect("a reference"))
        .deadline(Duration::from_secs(60));
    Ok((options, asked))
}

fn serve(mut stream: TcpStream, answer: fn(&str) -> String, log: &Asked) {
    let mut buffer = [0; 16_384];
    let mut request = String::new();
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        request += &String::from_utf8_lossy(&buffer[..count]);
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        assert!(head.contains("authorization: aws4-hmac-sha256"), "it is signed: {request}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        if body.len() < length {
            continue;
        }
        let mut line = request.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
        let answer = answer(&line);
        if head.contains("if-none-match: *") {
            line.push_str(" if there is none");
        }
        if head.contains("if-match: \"") {
            line.push_str(" if it is the same");
        }
        log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        if answer.is_empty() || stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
        request.clear();
    }
}

pub(crate) fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
