//! The fields of the types that configs know: the short ways to write a bucket, and what all of them have.

use super::names::Service;
use crate::config::{FieldKind, FieldSpec, Fields, Reference};
use crate::error::Result;

/// What all types have.
pub(super) const TUNING: [FieldSpec; 10] = [
    FieldSpec::new(
        "ca_file",
        FieldKind::Text,
        "A file of certificates (PEM) that are trusted besides those of the system.",
    ),
    FieldSpec::new(
        "integrity",
        FieldKind::Choice(&["size", "checksum"]),
        "What keys carry and what is checked of an object when it is read. Default \"checksum\".",
    ),
    FieldSpec::new(
        "write_once",
        FieldKind::Bool,
        "Whether an object is written once. With false, setting a key again replaces its object, and keys carry no size and no \
         checksum. Default true.",
    ),
    FieldSpec::new(
        "conditional_put",
        FieldKind::Bool,
        "Whether puts ask the store to create and never to replace; false for servers that cannot. Default true.",
    ),
    FieldSpec::new(
        "multipart_threshold",
        FieldKind::Size,
        "From which size on an object is written and read in parts. Default 16 MiB.",
    ),
    FieldSpec::new("part_size", FieldKind::Size, "The size of a part, from 5 MiB to 5 GiB. Default 8 MiB."),
    FieldSpec::new(
        "concurrency",
        FieldKind::Integer,
        "How many requests one call makes at the same time, from 1 to 256. Default 32.",
    ),
    FieldSpec::new(
        "retries",
        FieldKind::Integer,
        "How often a request is repeated where that may help, from 0 to 100. Default 3.",
    ),
    FieldSpec::new(
        "deadline",
        FieldKind::Duration,
        "How long one call may take with all its retries, besides a second for each 8 MiB that it moves. Default 15 s.",
    ),
    FieldSpec::new("clear", FieldKind::Bool, "Read, but without effect: a connector built from a config never clears."),
];

/// These fields, and behind them what all types have.
pub(super) const fn with_tuning<const OWN: usize, const ALL: usize>(own: [FieldSpec; OWN]) -> [FieldSpec; ALL] {
    let mut all = [TUNING[0]; ALL];
    let mut index = 0;
    while index < ALL {
        all[index] = if index < OWN { own[index] } else { TUNING[index - OWN] };
        index += 1;
    }
    all
}

/// A type whose URL is made from a bucket and a prefix, and whose most used options are fields.
pub(super) struct Sugar {
    pub(super) service: Service,
    scheme: &'static str,
    /// The field that names the bucket.
    pub(super) bucket: &'static str,
    /// The fields that are options of the store.
    pub(super) options: &'static [&'static str],
}

impl Sugar {
    /// The URL of bucket and prefix.
    pub(super) fn url(&self, fields: &Fields<'_>) -> Result<Reference> {
        let bucket = fields.text(self.bucket)?.filter(|bucket| !bucket.as_str().is_empty()).ok_or_else(|| {
            let advice = format!("it is missing; add a line such as {} = \"my-objects\"", self.bucket);
            fields.wrong(self.bucket, advice)
        })?;
        if bucket.as_literal().is_some_and(|text| text.contains(|letter| !is_plain(letter))) {
            return Err(fields.wrong(self.bucket, "must be a name of letters, digits, '-', '_' and '.' only"));
        }
        let prefix = fields.text("prefix")?;
        let prefix = prefix.map_or_else(String::new, |prefix| format!("/{}", prefix.as_str().trim_matches('/')));
        if prefix.contains(['?', '#']) {
            return Err(fields.wrong("prefix", "must not contain '?' or '#'"));
        }
        Reference::new(format!("{}://{bucket}{prefix}", self.scheme))
    }
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

const PREFIX: FieldSpec =
    FieldSpec::new("prefix", FieldKind::Text, "What stands before the ids of the objects, such as runs/today.");

const MORE: FieldSpec = FieldSpec::new(
    "options",
    FieldKind::Texts,
    "More options of the store by the names that the crate object_store gives them; secrets must be references.",
);

pub(super) const S3: Sugar = Sugar {
    service: Service::S3,
    scheme: "s3",
    bucket: "bucket",
    options: &["endpoint", "region", "access_key_id", "secret_access_key", "session_token"],
};

pub(super) const S3_FIELDS: &[FieldSpec] = &with_tuning::<8, { 8 + TUNING.len() }>([
    FieldSpec::new("bucket", FieldKind::Text, "The bucket. It must be there. Required.").required(),
    PREFIX,
    FieldSpec::new(
        "endpoint",
        FieldKind::Text,
        "The URL of the server, such as https://s3.example.org. Default: AWS_ENDPOINT_URL, else AWS's.",
    ),
    FieldSpec::new("region", FieldKind::Text, "The region. Default: AWS_REGION, else us-east-1."),
    FieldSpec::new("access_key_id", FieldKind::Text, "Who asks. Default: AWS_ACCESS_KEY_ID, else the instance's role."),
    FieldSpec::new(
        "secret_access_key",
        FieldKind::Text,
        "A reference to the secret key, such as ${env:MY_SECRET} or ${file:/run/secrets/s3}. Default: AWS_SECRET_ACCESS_KEY.",
    ),
    FieldSpec::new(
        "session_token",
        FieldKind::Text,
        "A reference to the token of temporary credentials. Default: AWS_SESSION_TOKEN.",
    ),
    MORE,
]);

pub(super) const GCS: Sugar = Sugar {
    service: Service::Gcs,
    scheme: "gs",
    bucket: "bucket",
    options: &["service_account", "service_account_key"],
};

pub(super) const GCS_FIELDS: &[FieldSpec] = &with_tuning::<5, { 5 + TUNING.len() }>([
    FieldSpec::new("bucket", FieldKind::Text, "The bucket. It must be there. Required.").required(),
    PREFIX,
    FieldSpec::new(
        "service_account",
        FieldKind::Text,
        "The file with the credentials of a service account. Default: GOOGLE_SERVICE_ACCOUNT, else the instance's.",
    ),
    FieldSpec::new(
        "service_account_key",
        FieldKind::Text,
        "A reference to those credentials themselves, such as ${env:MY_KEY}.",
    ),
    MORE,
]);

pub(super) const AZURE: Sugar = Sugar {
    service: Service::Azure,
    scheme: "az",
    bucket: "container",
    options: &["account_name", "account_key", "sas_key"],
};

pub(super) const AZURE_FIELDS: &[FieldSpec] = &with_tuning::<6, { 6 + TUNING.len() }>([
    FieldSpec::new("container", FieldKind::Text, "The container. It must be there. Required.").required(),
    PREFIX,
    FieldSpec::new("account_name", FieldKind::Text, "The storage account. Default: AZURE_STORAGE_ACCOUNT_NAME."),
    FieldSpec::new(
        "account_key",
        FieldKind::Text,
        "A reference to the account's key, such as ${env:MY_KEY}. Default: AZURE_STORAGE_ACCOUNT_KEY.",
    ),
    FieldSpec::new(
        "sas_key",
        FieldKind::Text,
        "A reference to a shared access signature. Default: AZURE_STORAGE_SAS_KEY.",
    ),
    MORE,
]);
