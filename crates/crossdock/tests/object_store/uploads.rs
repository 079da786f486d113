//! Uploads that were begun and never ended, and other things of which `s3s-fs` has none: with a server of the tests' own.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossdock::{
    CloseOptions, Connector, ConnectorExt, Deferrable, ErrorKind, GcOptions, KeyHint, ObjectKey, PutOptions,
};
use libtest_mimic::Trial;

use crate::common::{Named, Outcome, open};
use crate::fake::{response, server};

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Named; 7] = [
        ("old_uploads_of_ours_are_aborted", old_uploads_of_ours_are_aborted),
        ("a_server_that_lists_no_uploads", a_server_that_lists_no_uploads),
        ("a_server_that_aborts_whatever_it_is_asked_to", a_server_that_aborts_whatever_it_is_asked_to),
        ("an_upload_creates_its_object", an_upload_creates_its_object),
        ("ranges_are_of_one_object", ranges_are_of_one_object),
        ("a_set_that_was_completed_unheard", a_set_that_was_completed_unheard),
        ("clearing_takes_the_time_that_it_needs", clearing_takes_the_time_that_it_needs),
    ];
    tests.into_iter().map(|(name, test)| Trial::test(name, test)).collect()
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

const IS_MISSING: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
const IS_THERE: &str = "HTTP/1.1 200 OK\r\nETag: \"whole\"\r\nLast-Modified: Wed, 01 May 2024 10:00:00 GMT\r\n\
                        Content-Length: 6\r\n\r\n";

/// One that hangs up when it is asked to complete an upload, and agrees to abort it as if it had not been completed.
fn an_upload(line: &str, head: &str) -> String {
    match line.split_once(' ') {
        Some(("POST", path)) if path.ends_with("?uploads=") => response(
            "200 OK",
            "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>k</Key><UploadId>u</UploadId>\
             </InitiateMultipartUploadResult>",
        ),
        Some(("PUT", _)) => "HTTP/1.1 200 OK\r\nETag: \"part\"\r\nContent-Length: 0\r\n\r\n".to_owned(),
        Some(("DELETE", _)) => response("204 No Content", ""),
        Some(("HEAD", _)) => head.to_owned(),
        _ => String::new(),
    }
}

fn a_server_that_aborts_whatever_it_is_asked_to() -> Outcome {
    let put = |answer| {
        let (options, asked) = server(answer)?;
        let hurried = options.multipart_threshold(0).deadline(Duration::from_millis(500));
        let outcome = open(&hurried).put_bytes("object");
        let asked = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
        assert!(asked.iter().any(|line| line.starts_with("DELETE ")), "{asked:?}");
        Ok::<_, std::io::Error>(outcome)
    };
    let unknown = put(|line| an_upload(line, ""))?.unwrap_err();
    assert_eq!((unknown.kind(), unknown.keys().len()), (ErrorKind::Ambiguous, 1), "{unknown}");
    let unwritten = put(|line| an_upload(line, IS_MISSING))?.unwrap_err();
    assert_eq!((unwritten.kind(), unwritten.keys().len()), (ErrorKind::Unavailable, 0), "{unwritten}");
    let there = put(|line| an_upload(line, IS_THERE))?;
    assert!(there.as_ref().map_or_else(|error| error.kind() == ErrorKind::Ambiguous, |_| true), "{there:?}");
    Ok(())
}

/// The last request decides between two that write in parts at the same time.
fn an_upload_creates_its_object() -> Outcome {
    for write_once in [true, false] {
        let (options, asked) = server(|line| an_upload(line, IS_MISSING))?;
        let hurried = options.multipart_threshold(0).deadline(Duration::from_millis(500)).write_once(write_once);
        assert!(open(&hurried).put_bytes("object").is_err());
        let asked = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
        let completes = |line: &&String| line.starts_with("POST ") && line.contains("uploadId=");
        let mut completions = asked.iter().filter(completes).peekable();
        assert!(completions.peek().is_some(), "{asked:?}");
        assert!(completions.all(|line| line.ends_with(" if there is none") == write_once), "{asked:?}");
    }
    Ok(())
}

/// Two bytes; the first request gets the first of them.
fn two_bytes(_: &str) -> String {
    static ASKED: AtomicBool = AtomicBool::new(false);
    let place = usize::from(ASKED.swap(true, Ordering::SeqCst));
    format!(
        "HTTP/1.1 206 Partial Content\r\nETag: \"e\"\r\nLast-Modified: Wed, 01 May 2024 10:00:00 GMT\r\n\
         Content-Length: 1\r\nContent-Range: bytes {place}-{place}/2\r\n\r\n{place}"
    )
}

/// An object that is replaced meanwhile must not be read half and half.
fn ranges_are_of_one_object() -> Outcome {
    let (options, asked) = server(two_bytes)?;
    let key = ObjectKey::bare(ONE).into();
    let found = open(&options.multipart_threshold(0)).get_bytes(&key)?;
    assert_eq!(found.as_deref(), Some(&b"01"[..]));
    let asked = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
    let conditions: Vec<bool> = asked.iter().map(|line| line.ends_with(" if it is the same")).collect();
    assert_eq!(conditions, [false, true], "{asked:?}");
    Ok(())
}

/// It completes the upload, says so to nobody, and shows what is there only afterwards.
fn completed_unheard(line: &str) -> String {
    static IS_COMPLETE: AtomicBool = AtomicBool::new(false);
    if line.starts_with("POST ") && line.contains("uploadId=") {
        IS_COMPLETE.store(true, Ordering::SeqCst);
    }
    an_upload(line, if IS_COMPLETE.load(Ordering::SeqCst) { IS_THERE } else { IS_MISSING })
}

/// What may be there is told, also where there was no time to compare it.
fn a_set_that_was_completed_unheard() -> Outcome {
    let (options, _) = server(completed_unheard)?;
    let store = open(&options.multipart_threshold(0).deadline(Duration::from_millis(500)));
    let key = store.new_key(&KeyHint::new())?;
    let unsure = store.set(&key, "object".into(), &PutOptions::new()).unwrap_err();
    assert_eq!(unsure.keys(), [key], "{unsure}");
    Ok(())
}

/// Five pages, each of which takes more than a third of what one call may.
fn many_pages(line: &str) -> String {
    if !line.starts_with("GET ") {
        let deleted = format!("<Deleted><Key>my/prefix/{ONE}</Key></Deleted>");
        return response("200 OK", &format!("<DeleteResult>{deleted}</DeleteResult>"));
    }
    thread::sleep(Duration::from_millis(400));
    let page = (1..5).find(|page| line.contains(&format!("continuation-token={page}"))).unwrap_or(0);
    let next = match page {
        4 => "<IsTruncated>false</IsTruncated>".to_owned(),
        page => format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>", page + 1),
    };
    let object = format!(
        "<Contents><Key>my/prefix/{ONE}</Key><LastModified>2024-05-01T10:00:00.000Z</LastModified><Size>1</Size>\
         <ETag>\"e\"</ETag></Contents>"
    );
    response("200 OK", &format!("<ListBucketResult>{next}{object}</ListBucketResult>"))
}

fn clearing_takes_the_time_that_it_needs() -> Outcome {
    let (options, asked) = server(many_pages)?;
    let store = open(&options.deadline(Duration::from_secs(1)).clear(true));
    store.close(&CloseOptions::default())?;
    let asked = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
    assert_eq!(asked.iter().filter(|line| line.starts_with("GET ")).count(), 5, "{asked:?}");
    assert_eq!(asked.iter().filter(|line| !line.starts_with("GET ")).count(), 5, "{asked:?}");
    Ok(())
}
