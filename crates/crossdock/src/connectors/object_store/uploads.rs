//! The uploads in parts that somebody began and never ended: S3 keeps their parts until they are aborted.
//!
//! The crate does not list them, so the request is made here, with its signature.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::ClientOptions;
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use reqwest::{Method, Url};

use super::errors::{Cause, Failure};
use super::http::Http;

pub(super) struct Uploads {
    store: Arc<AmazonS3>,
    http: Http,
    region: String,
}

/// One upload that is not finished.
#[derive(Debug, PartialEq)]
pub(super) struct Upload {
    pub(super) key: String,
    id: String,
    pub(super) begun: Option<SystemTime>,
}

/// A part of the list, and where the next one begins.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) uploads: Vec<Upload>,
    pub(super) next: Option<(String, String)>,
}

impl Uploads {
    pub(super) fn new(store: Arc<AmazonS3>, http: &Http, region: Option<String>) -> Self {
        Self { store, http: http.clone(), region: region.unwrap_or_else(|| "us-east-1".to_owned()) }
    }

    /// Those whose keys begin with `prefix`, from `after` on.
    pub(super) async fn list(&self, prefix: &str, after: Option<&(String, String)>) -> Result<Page, Failure> {
        let mut url = self.bucket().await?;
        {
            let mut query = url.query_pairs_mut();
            // In the order in which they are signed.
            if let Some((key, _)) = after {
                query.append_pair("key-marker", key);
            }
            query.append_pair("prefix", prefix);
            if let Some((_, id)) = after {
                query.append_pair("upload-id-marker", id);
            }
            query.append_pair("uploads", "");
        }
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = url.as_str().parse().map_err(|_| Failure::new(Cause::Denied, "the list has no URL"))?;
        let credential = self.store.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None)?;
        let answer = self.client(&url)?.execute(request).await.map_err(|cause| generic(Box::new(cause)))?;
        let text = answer.into_body().bytes().await.map_err(|cause| generic(Box::new(cause)))?;
        Ok(read(&String::from_utf8_lossy(&text)))
    }

    pub(super) async fn abort(&self, upload: &Upload) -> Result<(), Failure> {
        let path = Path::parse(&upload.key).map_err(|_| Failure::new(Cause::Denied, "the upload has no path"))?;
        match self.store.abort_multipart(&path, &upload.id).await.map_err(Failure::from) {
            Err(Failure { cause: Cause::Missing, .. }) => Ok(()),
            outcome => outcome,
        }
    }

    /// The URL of the bucket, which the crate says only of objects in it.
    async fn bucket(&self) -> Result<Url, Failure> {
        let mut url = self.store.signed_url(Method::GET, &Path::from("x"), Duration::from_secs(1)).await?;
        url.set_query(None);
        let inside = url.path().strip_suffix("/x").unwrap_or_default().to_owned();
        url.set_path(&inside);
        Ok(url)
    }

    fn client(&self, url: &Url) -> Result<HttpClient, Failure> {
        Ok(self.http.connect(&ClientOptions::new().with_allow_http(url.scheme() == "http"))?)
    }
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> Failure {
    object_store::Error::Generic { store: "S3", source }.into()
}

/// Reads a `ListMultipartUploadsResult`.
fn read(text: &str) -> Page {
    let uploads = text.split("<Upload>").skip(1).filter_map(|rest| {
        let entry = rest.split("</Upload>").next()?;
        Some(Upload {
            key: element(entry, "Key")?,
            id: element(entry, "UploadId")?,
            begun: element(entry, "Initiated").and_then(|time| humantime::parse_rfc3339_weak(&time).ok()),
        })
    });
    let is_cut = element(text, "IsTruncated").as_deref() == Some("true");
    let next = || Some((element(text, "NextKeyMarker")?, element(text, "NextUploadIdMarker")?));
    Page { uploads: uploads.collect(), next: is_cut.then(next).flatten() }
}

fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once(&format!("</{name}>"))?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    Some(plain.iter().fold(inside.to_owned(), |text, (written, meant)| text.replace(written, meant)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let page = read(
            "<ListMultipartUploadsResult><Bucket>b</Bucket><NextKeyMarker>k</NextKeyMarker>\
             <NextUploadIdMarker>u&amp;2</NextUploadIdMarker><IsTruncated>true</IsTruncated>\
             <Upload><Key>dir/a</Key><UploadId>u1</UploadId><Initiated>2024-05-01T10:00:00.000Z</Initiated></Upload>\
             <Upload><Key>dir/b</Key><UploadId>u&amp;2</UploadId><Initiated>soon</Initiated></Upload>\
             </ListMultipartUploadsResult>",
        );
        let keys: Vec<_> =
            page.uploads.iter().map(|upload| (&*upload.key, &*upload.id, upload.begun.is_some())).collect();
        assert_eq!(keys, [("dir/a", "u1", true), ("dir/b", "u&2", false)]);
        assert_eq!(page.next, Some(("k".to_owned(), "u&2".to_owned())));
        assert_eq!(read("").uploads, []);
    }
}
