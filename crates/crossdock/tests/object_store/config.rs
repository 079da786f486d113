//! Configs of object stores: what is read, what is refused, and what is never shown. None of these needs a server.

use crossdock::config::{Config, Format, Reference};
use crossdock::connectors::{ObjectStoreConnector, ObjectStoreOptions};
use crossdock::{ErrorKind, Flavor, MultiConnector, Opener, Registry, Result};
use libtest_mimic::Trial;

use crate::common::{Named, Outcome};

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [Named; 7] = [
        ("the_short_ways_to_write_a_bucket", the_short_ways_to_write_a_bucket),
        ("a_config_is_the_same_again", a_config_is_the_same_again),
        ("secrets_are_references", secrets_are_references),
        ("what_is_wrong_is_named", what_is_wrong_is_named),
        ("what_hides_behind_references_is_checked_when_it_is_opened", what_hides_behind_references),
        ("what_this_build_lacks_is_said", what_this_build_lacks_is_said),
        ("the_schema_knows_them", the_schema_knows_them),
    ];
    tests.into_iter().map(|(name, test)| Trial::test(name, test)).collect()
}

fn connect(text: &str) -> Result<MultiConnector> {
    Registry::builtin().connect(&Config::from_text(text)?)
}

/// The canonical form of a config, as TOML.
fn canonical(text: &str) -> Result<String> {
    Registry::builtin().canonical(&Config::from_text(text)?)?.to_text(Format::Toml)
}

fn contains(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is in {message}");
    }
}

fn the_short_ways_to_write_a_bucket() -> Outcome {
    let short = "[connectors.bulk]\ntype = \"s3\"\nbucket = \"runs\"\nprefix = \"/today/\"\nendpoint = \"http://127.0.0.1:9000\"\n\
                 secret_access_key = \"${env:MY_SECRET}\"\naccess_key_id = \"me\"\noptions = { aws_unsigned_payload = true }\n\
                 deadline = \"30s\"";
    let long = "[connectors.bulk]\ntype = \"object_store\"\nurl = \"s3://runs/today\"\ndeadline = 30\n[connectors.bulk.options]\n\
                ENDPOINT = \"http://127.0.0.1:9000\"\naccess_key_id = \"me\"\naws_secret_access_key = \"${env:MY_SECRET}\"\n\
                unsigned_payload = \"true\"";
    assert_eq!(canonical(short)?, canonical(long)?);
    contains(&canonical(short)?, &["type = \"object_store\"", "url = \"s3://runs/today\"", "\"${env:MY_SECRET}\""]);
    let config = Config::from_text(short)?;
    let json = Registry::builtin().to_proxystore_json(&config, Flavor::Crossdock)?;
    contains(&json.text, &["crossdock.connectors.object_store.ObjectStoreConnector"]);
    let refused = connect("[connectors.a]\ntype = \"s3\"\nbucket = \"a/b\"").unwrap_err();
    contains(&refused.to_string(), &["line 3", "bucket", "letters"]);
    Ok(())
}

fn a_config_is_the_same_again() -> Outcome {
    let options = ObjectStoreOptions::new("s3://runs/a b")
        .option("REGION", Reference::literal("eu-west-1"))
        .ca_file(Reference::literal("/etc/my-ca.pem"))
        .write_once(false)
        .conditional_put(false)
        .multipart_threshold(0)
        .part_size(6 << 20)
        .concurrency(2)
        .retries(0)
        .deadline(std::time::Duration::from_millis(500))
        .integrity(crossdock::Integrity::Size);
    let text = Config::new([crossdock::config::Entry::new("a", options.config(), crossdock::Policy::any())]);
    let again = Registry::builtin().canonical(&text)?;
    let config = &again.entries()[0].connector;
    let third = Registry::builtin().canonical(&again)?;
    assert_eq!(third.entries()[0].connector, *config);
    let shown = again.to_text(Format::Toml)?;
    contains(
        &shown,
        &["region = \"eu-west-1\"", "ca_file", "write_once = false", "part_size = 6291456", "deadline = 0.5"],
    );
    contains(&shown, &["retries = 0", "concurrency = 2", "multipart_threshold = 0", "integrity = \"size\""]);
    Ok(())
}

const CANARY: &str = "tO0sEcReT";

fn secrets_are_references() -> Outcome {
    for (toml, place) in [
        (
            format!("type = \"s3\"\nbucket = \"b\"\nsecret_access_key = \"{CANARY}\""),
            "line 4: connectors.a: secret_access_key",
        ),
        (
            format!("type = \"s3\"\nbucket = \"b\"\noptions = {{ aws_session_token = \"{CANARY}\" }}"),
            "options.aws_session_token",
        ),
        (format!("type = \"object_store\"\nurl = \"s3://b\"\noptions = {{ token = \"{CANARY}\" }}"), "options.token"),
        (
            format!("type = \"object_store\"\nurl = \"az://b\"\noptions = {{ access_key = \"{CANARY}\" }}"),
            "options.access_key",
        ),
        (
            format!("type = \"object_store\"\nurl = \"gs://b\"\noptions = {{ service_account_key = \"{CANARY}\" }}"),
            "service_account_key",
        ),
        (format!("type = \"object_store\"\nurl = \"https://me:{CANARY}@host/dav\""), "url"),
        (
            format!("type = \"object_store\"\nurl = \"${{env:U}}\"\noptions = {{ client_secret = \"{CANARY}\" }}"),
            "client_secret",
        ),
        (
            format!("type = \"s3\"\nbucket = \"b\"\noptions = {{ proxy_url = \"http://me:{CANARY}@proxy\" }}"),
            "proxy_url",
        ),
    ] {
        let refused = connect(&format!("[connectors.a]\n{toml}")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
        contains(&refused.to_string(), &[place, "${env:NAME}"]);
        assert!(!format!("{refused:?} {refused}").contains(CANARY), "{refused}");
    }
    // What a program gives is no better.
    let options = ObjectStoreOptions::new("s3://b").option("secret_access_key", Reference::literal(CANARY));
    let refused = ObjectStoreConnector::open(&options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
    assert!(!format!("{options:?} {:?} {refused:?}", options.config()).contains(CANARY));
    Ok(())
}

fn what_is_wrong_is_named() -> Outcome {
    for (toml, words) in [
        (
            "url = \"s3://b\"\noptions = { regoin = \"x\" }",
            &["line 4", "options.regoin", "nearest known is \"region\""][..],
        ),
        ("url = \"s3://b\"\noptions = { region = \"x\", aws_region = \"y\" }", &["options.aws_region", "twice"]),
        ("url = \"ftp://host/dir\"", &["line 3", "connectors.a: url", "s3://BUCKET/PREFIX"]),
        ("url = \"runs/today\"", &["url", "s3://BUCKET/PREFIX"]),
        ("options = {}", &["url", "missing"]),
        ("url = \"s3://b\"\npart_size = \"1 MB\"", &["line 4", "part_size", "5242880"]),
        ("url = \"s3://b\"\nconcurrency = 0", &["concurrency", "from 1 to 256"]),
        ("url = \"s3://b\"\nretries = -1", &["retries", "from 0 to 100"]),
        ("url = \"s3://b\"\ndeadline = 0", &["line 4", "deadline", "more than 0"]),
        ("url = \"s3://b\"\nbucket = \"b\"", &["unknown field \"bucket\""]),
    ] {
        let refused = connect(&format!("[connectors.a]\ntype = \"object_store\"\n{toml}")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidConfig, "{toml}");
        contains(&refused.to_string(), words);
    }
    let half = ObjectStoreOptions::new("s3://b").option("access_key_id", Reference::literal("me"));
    let refused = ObjectStoreConnector::open(&half).unwrap_err();
    contains(&refused.to_string(), &["access_key_id and secret_access_key go together"]);
    let bare = half.option("secret_access_key", Reference::new("${env:PATH}")?);
    let refused = ObjectStoreConnector::open(&bare.option("endpoint", Reference::literal("s3.example.org:9000")));
    contains(&refused.unwrap_err().to_string(), &["options.endpoint", "https://"]);
    Ok(())
}

fn what_hides_behind_references() -> Outcome {
    let dir = tempfile::tempdir()?;
    let write = |name: &str, text: &str| -> std::io::Result<Reference> {
        let path = dir.path().join(name);
        std::fs::write(&path, text)?;
        Ok(Reference::new(format!("${{file:{}}}", path.display())).expect("a reference"))
    };
    let refused = |options: &ObjectStoreOptions| ObjectStoreConnector::open(options).unwrap_err();
    let at = |text: &str| Ok::<_, std::io::Error>(refused(&ObjectStoreOptions::at(write("url", text)?)));
    for text in ["ftp://host", "s3://", "s3://b/x?token=1", "not a url", "https://me:pw@host/", "s3://b/a//b"] {
        let error = at(text)?;
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text}: {error}");
        assert!(!error.to_string().contains("pw@"), "{error}");
    }
    let with = |name: &str, text: &str| {
        let options = ObjectStoreOptions::new("s3://b").option(name, write("value", text)?);
        Ok::<_, std::io::Error>(refused(&options))
    };
    for (name, text) in [
        ("endpoint", "127.0.0.1:9000"),
        ("endpoint", "http://"),
        ("endpoint", "http://me:pw@host"),
        ("access_key_id", "two\nlines"),
        ("session_token", "not äscii"),
        ("connect_timeout", "soon"),
        ("unsigned_payload", "perhaps"),
        ("proxy_url", "::"),
    ] {
        let error = with(name, text)?;
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}: {error}");
    }
    let missing =
        ObjectStoreOptions::new("s3://b").option("region", Reference::new("${env:CROSSDOCK_NO_SUCH_VARIABLE}")?);
    let error = refused(&missing);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    contains(&error.to_string(), &["options.region", "CROSSDOCK_NO_SUCH_VARIABLE"]);
    let no_certificate = ObjectStoreOptions::new("s3://b")
        .ca_file(write("ca", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")?);
    contains(&refused(&no_certificate).to_string(), &["ca_file"]);
    let absent =
        refused(&ObjectStoreOptions::new("s3://b").ca_file(write("path", "/nonexistent/s3cret.pem")?)).to_string();
    contains(&absent, &["ca_file", "${file:"]);
    assert!(!absent.contains("s3cret"), "{absent}");
    let never = refused(&ObjectStoreOptions::new("s3://b").deadline(std::time::Duration::ZERO));
    contains(&never.to_string(), &["deadline"]);
    Ok(())
}

fn what_this_build_lacks_is_said() -> Outcome {
    if cfg!(all(feature = "gcs", feature = "azure", feature = "http")) {
        return Ok(());
    }
    // Readable all the same: another process may have it.
    let multi = connect("[connectors.a]\ntype = \"object_store\"\nurl = \"gs://bucket\"")?;
    let error = multi.put("object", &crossdock::PutOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    contains(&error.to_string(), &["gs://bucket", "feature \"gcs\""]);
    Ok(())
}

fn the_schema_knows_them() -> Outcome {
    let schema = Registry::builtin().json_schema().to_string();
    contains(&schema, &["\"object_store\"", "\"s3\"", "secret_access_key", "multipart_threshold"]);
    Ok(())
}
