//! Uploads that were begun and never ended. `s3s-fs` lists none, so these two tests have a server of their own that knows the
//! few answers they need.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossdock::config::Reference;
use crossdock::connectors::ObjectStoreOptions;
use crossdock::{Connector, GcOptions};
use libtest_mimic::Trial;

use crate::common::{Named, Outcome, open};

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Named; 2] = [
        ("old_uploads_of_ours_are_aborted", old_uploads_of_ours_are_aborted),
        ("a_server_that_lists_no_uploads", a_server_that_lists_no_uploads),
    ];
    tests.into_iter().map(|(name, test)| Trial::test(name, test)).collect()
}

/// What was asked, by method and path.
type Asked = Arc<Mutex<Vec<String>>>;

/// A server that answers what `answer` says of a request.
fn server(answer: fn(&str) -> String) -> std::io::Result<(ObjectStoreOptions, Asked)> {
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
        if !request.contains("\r\n\r\n") {
            continue;
        }
        assert!(request.to_lowercase().contains("authorization: aws4-hmac-sha256"), "it is signed: {request}");
        let line = request.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
        log.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
        if stream.write_all(answer(&line).as_bytes()).is_err() {
            return;
        }
        request.clear();
    }
}

fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

const ONE: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
const TWO: &str = "0b7f8f4e-6a0f-4d0e-9f5a-0f6f3c0f8a11";

/// Two pages: an old one of ours, a foreign one, one of another prefix, and another old one behind a marker; a young one.
fn two_pages(line: &str) -> String {
    let upload = |key: &str, id: &str, begun: &str| {
        format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{begun}</Initiated></Upload>")
    };
    let old = "2020-01-01T00:00:00.000Z";
    let body = if line.starts_with("DELETE ") {
        return response("204 No Content", "");
    } else if line.contains("key-marker=") {
        upload(&format!("my/prefix/{TWO}"), "u+2/=", old)
            + &upload(&format!("my/prefix/{ONE}"), "young", "2999-01-01T00:00:00.000Z")
    } else {
        let uploads = [
            upload(&format!("my/prefix/{ONE}"), "u1", old),
            upload("my/prefix/readme", "foreign", old),
            upload(&format!("my/prefix/deeper/{ONE}"), "deeper", old),
        ];
        let next = "<IsTruncated>true</IsTruncated><NextKeyMarker>my/prefix/x</NextKeyMarker><NextUploadIdMarker>m</NextUploadIdMarker>";
        next.to_owned() + &uploads.concat()
    };
    response("200 OK", &format!("<ListMultipartUploadsResult>{body}</ListMultipartUploadsResult>"))
}

fn old_uploads_of_ours_are_aborted() -> Outcome {
    let (options, asked) = server(two_pages)?;
    let store = open(&options);
    let asked_so_far = || std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
    let report = store.gc(&GcOptions::default().dry_run(true))?;
    assert_eq!((report.removed, report.kept), (2, 1));
    let lines = asked_so_far();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("GET /bucket?prefix=my%2Fprefix%2F&uploads="), "{lines:?}");
    assert!(lines[1].contains("key-marker=my%2Fprefix%2Fx&") && lines[1].contains("upload-id-marker=m&"), "{lines:?}");
    let report = store.gc(&GcOptions::default())?;
    assert_eq!((report.removed, report.kept), (2, 1));
    let deleted: Vec<String> = asked_so_far().into_iter().filter(|line| line.starts_with("DELETE ")).collect();
    let expected = [
        format!("DELETE /bucket/my/prefix/{ONE}?uploadId=u1"),
        format!("DELETE /bucket/my/prefix/{TWO}?uploadId=u%2B2%2F%3D"),
    ];
    assert_eq!(deleted, expected);
    Ok(())
}

fn a_server_that_lists_no_uploads() -> Outcome {
    let (options, _) = server(|_| response("501 Not Implemented", "<Error><Code>NotImplemented</Code></Error>"))?;
    assert_eq!(open(&options).gc(&GcOptions::default())?.removed, 0);
    let (options, _) = server(|_| response("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>"))?;
    assert!(open(&options).gc(&GcOptions::default()).is_err_and(|error| error.to_string().contains("AccessDenied")));
    Ok(())
}
