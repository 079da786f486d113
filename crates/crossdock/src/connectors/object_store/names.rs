//! The names of a store's own options, those of the crate `object_store`, and which of them are secrets.

/// The services that speak to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    S3,
    Gcs,
    Azure,
    Http,
}

/// One option: its name, its other names, and whether its value must not stand in a config.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) name: &'static str,
    others: &'static [&'static str],
    pub(super) secret: bool,
}

const fn open(name: &'static str) -> Name {
    Name { name, others: &[], secret: false }
}

const fn secret(name: &'static str) -> Name {
    Name { name, others: &[], secret: true }
}

const fn also(others: &'static [&'static str], name: Name) -> Name {
    Name { others, ..name }
}

/// Options of the HTTP client, for every service.
const CLIENT: &[Name] = &[
    open("allow_http"),
    open("connect_timeout"),
    open("pool_idle_timeout"),
    open("pool_max_idle_per_host"),
    open("proxy_url"),
    open("proxy_excludes"),
    open("user_agent"),
];

const S3: &[Name] = &[
    also(&["endpoint_url", "endpoint_url_s3"], open("endpoint")),
    also(&["default_region"], open("region")),
    open("access_key_id"),
    secret("secret_access_key"),
    also(&["token"], secret("session_token")),
    open("virtual_hosted_style_request"),
    open("unsigned_payload"),
    open("checksum_algorithm"),
    open("skip_signature"),
    open("request_payer"),
    open("s3_express"),
    open("disable_bulk_delete"),
    open("server_side_encryption"),
    open("sse_kms_key_id"),
    open("sse_bucket_key_enabled"),
    secret("sse_customer_key_base64"),
    open("imdsv1_fallback"),
    open("metadata_endpoint"),
    open("container_credentials_relative_uri"),
    open("container_credentials_full_uri"),
    open("container_authorization_token_file"),
    open("web_identity_token_file"),
    open("role_arn"),
    open("role_session_name"),
    open("endpoint_url_sts"),
];

const GCS: &[Name] = &[
    also(&["service_account_path"], open("service_account")),
    secret("service_account_key"),
    open("application_credentials"),
    secret("bearer_token"),
    open("base_url"),
    open("skip_signature"),
];

const AZURE: &[Name] = &[
    open("account_name"),
    also(&["access_key", "master_key"], secret("account_key")),
    also(&["sas_token"], secret("sas_key")),
    also(&["token"], secret("bearer_token")),
    open("client_id"),
    secret("client_secret"),
    also(&["authority_id"], open("tenant_id")),
    open("authority_host"),
    open("endpoint"),
    open("use_emulator"),
    also(&["identity_endpoint"], open("msi_endpoint")),
    open("object_id"),
    open("msi_resource_id"),
    open("federated_token_file"),
    open("use_azure_cli"),
    open("credential_type"),
    open("skip_signature"),
    secret("encryption_key"),
    open("use_fabric_endpoint"),
    open("fabric_token_service_url"),
    open("fabric_workload_host"),
    secret("fabric_session_token"),
    open("fabric_cluster_identifier"),
];

const HTTP: &[Name] = &[open("username"), secret("password")];

impl Service {
    pub(super) const ALL: [Self; 4] = [Self::S3, Self::Gcs, Self::Azure, Self::Http];

    /// The service that a URL belongs to, as far as its text tells without its references resolved.
    pub(super) fn of_url(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match scheme {
            "s3" | "s3a" => Some(Self::S3),
            "gs" => Some(Self::Gcs),
            "az" | "azure" | "adl" | "abfs" | "abfss" => Some(Self::Azure),
            "https" if [".amazonaws.com", ".r2.cloudflarestorage.com"].iter().any(|end| host.ends_with(end)) => {
                Some(Self::S3)
            }
            "https" if [".core.windows.net", ".fabric.microsoft.com"].iter().any(|end| host.ends_with(end)) => {
                Some(Self::Azure)
            }
            "http" | "https" => Some(Self::Http),
            _ => None,
        }
    }

    /// The feature of this crate that builds it in.
    #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure", feature = "http")))]
    pub(super) fn feature(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
            Self::Http => "http",
        }
    }

    /// How the names of its options and of its environment variables may begin.
    pub(super) fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &["aws_"],
            Self::Gcs => &["google_"],
            Self::Azure => &["azure_storage_", "azure_"],
            Self::Http => &[],
        }
    }

    pub(super) fn names(self) -> impl Iterator<Item = &'static Name> {
        let own = match self {
            Self::S3 => S3,
            Self::Gcs => GCS,
            Self::Azure => AZURE,
            Self::Http => HTTP,
        };
        own.iter().chain(CLIENT)
    }

    /// The option that is called so, in capitals or not, with the service's prefix or without.
    pub(super) fn option(self, called: &str) -> Option<&'static Name> {
        let called = called.to_ascii_lowercase();
        let short = self.prefixes().iter().find_map(|prefix| called.strip_prefix(prefix)).unwrap_or(&called);
        self.names().find(|known| known.name == short || known.others.contains(&short))
    }
}

/// Whether an option of the HTTP client is ours to apply: the crate has no say in it.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
pub(super) fn is_of_the_client(name: &str) -> bool {
    CLIENT.iter().any(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_and_without_their_prefix() {
        for called in ["secret_access_key", "aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"] {
            assert!(Service::S3.option(called).is_some_and(|name| name.secret), "{called}");
        }
        assert_eq!(Service::Azure.option("azure_storage_access_key").map(|name| name.name), Some("account_key"));
        assert_eq!(Service::S3.option("azure_account_name").map(|name| name.name), None);
        assert_eq!(Service::Http.option("allow_http").map(|name| name.name), Some("allow_http"));
    }

    #[test]
    fn services_are_told_by_their_urls() {
        assert_eq!(Service::of_url("s3://${env:BUCKET}/x"), Some(Service::S3));
        assert_eq!(Service::of_url("https://s3.eu-west-1.amazonaws.com/bucket"), Some(Service::S3));
        assert_eq!(Service::of_url("https://account.blob.core.windows.net/container"), Some(Service::Azure));
        assert_eq!(Service::of_url("https://example.org/dav?x=.amazonaws.com"), Some(Service::Http));
        assert_eq!(Service::of_url("${env:URL}"), None);
        assert_eq!(Service::of_url("ftp://host/dir"), None);
    }

    #[cfg(feature = "s3")]
    #[test]
    fn the_crate_knows_our_names_for_s3() {
        for Name { name, .. } in S3 {
            assert!(name.parse::<object_store::aws::AmazonS3ConfigKey>().is_ok(), "{name}");
        }
    }

    #[cfg(feature = "gcs")]
    #[test]
    fn the_crate_knows_our_names_for_gcs() {
        for Name { name, .. } in GCS {
            assert!(name.parse::<object_store::gcp::GoogleConfigKey>().is_ok(), "{name}");
        }
    }

    #[cfg(feature = "azure")]
    #[test]
    fn the_crate_knows_our_names_for_azure() {
        for Name { name, .. } in AZURE {
            assert!(name.parse::<object_store::azure::AzureConfigKey>().is_ok(), "{name}");
        }
    }
}
