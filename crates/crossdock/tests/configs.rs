//! Configs and the registry: what is read, what is refused and where, what comes back as it was.

use crossdock::config::{Config, Entry, Format, Table, Value};
use crossdock::connectors::{FileOptions, LocalConnector, LocalOptions};
use crossdock::{
    CloseOptions, Connector, ConnectorConfig, ConnectorExt, ConnectorType, Durability, ErrorKind, Flavor, Hostname,
    Integrity, MultiConnector, Opener, Policy, Properties, PutOptions, Registry, Result,
};

fn connect(text: &str) -> Result<MultiConnector> {
    let config = Config::from_text(text)?;
    Registry::builtin().connect_as(&config, Hostname::Fixed("here".to_owned()))
}

/// What is said of a config that is refused.
fn refused(text: &str) -> String {
    let error = connect(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text}");
    error.to_string()
}

fn contains(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is in {message}");
    }
}

/// The table survives both forms.
fn comes_back(config: &Config) {
    for format in [Format::Toml, Format::Json] {
        let text = config.to_text(format).unwrap();
        assert_eq!(Config::parse(&text, format).unwrap(), *config, "{text}");
    }
}

mod text {
    use super::*;

    #[test]
    fn a_name_given_twice_is_refused_at_every_level() {
        let local = r#"["proxystore.connectors.local.LocalConnector", {}, {}]"#;
        for (text, line, name) in [
            (format!("{{\"a\": {local},\n\"a\": {local}}}"), "line 2", "\"a\""),
            (
                "{\"connectors\": {\"a\": {\n\"type\": \"local\",\n\"type\": \"local\"}}}".to_owned(),
                "line 3",
                "\"type\"",
            ),
            ("{\"connectors\": {}, \"connectors\": {}}".to_owned(), "line 1", "\"connectors\""),
        ] {
            contains(&refused(&text), &[line, name, "given twice"]);
        }
        contains(&refused("[connectors.a]\ntype = \"local\"\ntype = \"local\""), &["line 3"]);
    }

    #[test]
    fn an_error_names_the_line_in_both_forms() {
        let toml = "[connectors.a]\ntype = \"local\"\n\n[connectors.b]\ntype = \"local\"\nmax_total_bytes = true";
        contains(&refused(toml), &["line 6", "connectors.b", "max_total_bytes"]);
        let json = "{\"connectors\": {\n\"a\": {\"type\": \"local\"},\n\"b\": {\n\"type\": \"local\",\n\
                    \"max_total_bytes\": true}}}";
        contains(&refused(json), &["line 5", "connectors.b", "max_total_bytes"]);
        let theirs = "{\"a\": [\n\"proxystore.connectors.local.LocalConnector\",\n{\n\"max_total_bytes\": true}, {}]}";
        contains(&refused(theirs), &["line 4", "connectors.a"]);
        contains(&refused("{\n\"a\": 1,\n}"), &["line 3", "not valid JSON"]);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let json = "{\"connectors\": {\"a\": {\"type\": \"local\"}}}";
        let toml = "[connectors.a]\ntype = \"local\"\n";
        let dir = tempfile::tempdir().unwrap();
        for (text, name) in [(json, "config.json"), (toml, "config.toml"), (json, "config"), (toml, "config")] {
            let marked = format!("\u{feff}{text}");
            assert_eq!(Config::from_text(&marked).unwrap(), Config::from_text(text).unwrap());
            let path = dir.path().join(name);
            std::fs::write(&path, &marked).unwrap();
            assert_eq!(Config::from_file(&path).unwrap().entries().len(), 1, "{name}");
        }
    }

    #[test]
    fn five_thousand_connectors_load_in_their_order() {
        let names: Vec<String> = (0..5000).map(|n| format!("c{n}")).collect();
        let entry =
            |name: &String| Entry::new(name.as_str(), ConnectorConfig::new("local", Table::new()), Policy::any());
        let config = Config::new(names.iter().map(entry));
        for format in [Format::Toml, Format::Json] {
            let multi = connect(&config.to_text(format).unwrap()).unwrap();
            assert!(multi.connector_names().eq(names.iter().map(String::as_str)));
        }
    }

    #[test]
    fn tables_that_are_no_connectors_are_explained() {
        contains(&refused("[connector.a]\ntype = \"local\""), &["line 1", "\"connector\"", "[connectors.NAME]"]);
        contains(&refused("[[connectors]]\ntype = \"local\""), &["line 1", "list", "[connectors.NAME]"]);
        contains(&refused("{\"connectors\": [\n{\"type\": \"local\"}]}"), &["line 1", "list", "[connectors.NAME]"]);
        contains(&refused("x = 1\n[connectors.a]\ntype = \"local\""), &["line 1", "\"x\""]);
    }

    #[test]
    fn a_name_has_one_to_255_bytes() {
        let named = |name: &str| format!("[connectors.\"{name}\"]\ntype = \"local\"");
        let theirs =
            |name: &str| format!("{{\"{name}\": [\"proxystore.connectors.local.LocalConnector\", {{}}, {{}}]}}");
        let long = "ä".repeat(128);
        for name in ["", &long] {
            contains(&refused(&named(name)), &["line 1", "1 to 255 bytes", &name.len().to_string()]);
            contains(&refused(&theirs(name)), &["1 to 255 bytes"]);
        }
        for name in ["x".repeat(255), "ä".repeat(127), " ".to_owned()] {
            assert!(connect(&named(&name)).is_ok() && connect(&theirs(&name)).is_ok(), "{name:?}");
        }
    }
}

mod numbers {
    use super::*;

    fn toml(number: &str) -> String {
        format!("[connectors.a]\ntype = \"local\"\nmax_total_bytes = {number}")
    }

    fn json(number: &str) -> String {
        format!("{{\"connectors\": {{\n\"a\": {{\"type\": \"local\",\n\"max_total_bytes\": {number}}}}}}}")
    }

    #[test]
    fn numbers_that_a_config_cannot_hold_are_refused_where_they_stand() {
        for number in ["18446744073709551616", "-9223372036854775809"] {
            contains(&refused(&json(number)), &["line 3", "64 bits"]);
            contains(&refused(&toml(number)), &["line 3"]);
        }
        for number in ["inf", "-inf", "nan"] {
            contains(&refused(&toml(number)), &["line 3", "infinite or none"]);
        }
        contains(&refused(&json("1e999")), &["line 3", "infinite"]);
        for number in ["NaN", "Infinity"] {
            contains(&refused(&json(number)), &["line 3", "not valid JSON"]);
        }
    }

    #[test]
    fn a_size_is_a_whole_number_of_bytes() {
        for number in ["1.5", "-1", "-1.0", "1e300", "\"0.5\"", "0.1"] {
            contains(&refused(&toml(number)), &["line 3", "connectors.a", "max_total_bytes"]);
            contains(&refused(&json(number)), &["line 3", "connectors.a", "max_total_bytes"]);
        }
        let policy = "[connectors.a]\ntype = \"local\"\npolicy.max_size_bytes = 1.5";
        contains(&refused(policy), &["line 3", "connectors.a.policy", "max_size_bytes"]);
        for text in [toml("10.0"), json("10.0"), json("1e1"), toml("\"10 B\""), toml("0xa")] {
            let multi = connect(&text).unwrap();
            multi.put("0123456789", &PutOptions::new()).unwrap();
            assert_eq!(multi.put("x", &PutOptions::new()).unwrap_err().kind(), ErrorKind::Full, "{text}");
        }
    }

    #[test]
    fn the_largest_size_and_priorities_survive() {
        let options = LocalOptions::new().max_total_bytes(u64::MAX);
        let policy = |priority| Policy::builder().priority(priority).max_size_bytes(u64::MAX).build().unwrap();
        let entries = [("lowest", i64::MIN), ("highest", i64::MAX)];
        let config = Config::new(entries.map(|(name, priority)| Entry::new(name, options.config(), policy(priority))));
        for format in [Format::Toml, Format::Json] {
            let multi = connect(&config.to_text(format).unwrap()).unwrap();
            assert_eq!(multi.config(), config, "{format:?}");
        }
    }
}

mod nesting {
    use super::*;

    /// Our form, as JSON, with that many multi-connectors around a local one.
    fn ours(depth: usize) -> String {
        let mut inner = r#"{"type": "local"}"#.to_owned();
        for _ in 0..depth {
            inner = format!(r#"{{"type": "multi", "connectors": {{"m": {inner}}}}}"#);
        }
        format!(r#"{{"connectors": {{"m": {inner}}}}}"#)
    }

    fn theirs(depth: usize) -> String {
        let mut inner = r#"["proxystore.connectors.local.LocalConnector", {}, {}]"#.to_owned();
        for _ in 0..depth {
            inner = format!(r#"["proxystore.connectors.multi.MultiConnector", {{"m": {inner}}}, {{}}]"#);
        }
        format!(r#"{{"m": {inner}}}"#)
    }

    #[test]
    fn sixteen_levels_are_enough() {
        for form in [ours, theirs] {
            connect(&form(15)).unwrap().put("x", &PutOptions::new()).unwrap();
            assert!(connect(&form(16)).is_ok());
            contains(&refused(&form(17)), &["more than 16"]);
            contains(&refused(&form(500)), &["line 1"]);
        }
        let toml = Config::from_text(&ours(17)).unwrap().to_text(Format::Toml).unwrap();
        contains(&refused(&toml), &["more than 16"]);
    }

    #[test]
    fn an_error_names_the_way_to_a_nested_connector() {
        let text = "[connectors.outer]\ntype = \"multi\"\n[connectors.outer.connectors.inner]\ntype = \"local\"\n\
                    policy = { x = 1 }";
        contains(&refused(text), &["line 5", "connectors.outer.connectors.inner.policy:", "\"x\""]);
        let text = "[connectors.outer]\ntype = \"multi\"\n[connectors.outer.connectors.inner]\ntype = \"local\"\nx = 1";
        contains(&refused(text), &["line 5", "connectors.outer.", "inner:", "\"x\""]);
    }
}

mod policies {
    use super::*;

    #[test]
    fn a_broken_pattern_is_refused_at_its_line() {
        let text = "[connectors.a]\ntype = \"local\"\n[connectors.a.policy]\npriority = 1\nmin_size_bytes = 0\n\
                    host_pattern = 'a)|(b'";
        contains(&refused(text), &["line 6", "connectors.a.policy", "pattern"]);
        let text = "[connectors.a]\ntype = \"local\"\n[connectors.a.policy]\nmax_size_bytes = 1\nmin_size_bytes = 2";
        contains(&refused(text), &["line 5", "connectors.a.policy", "min_size_bytes (2)"]);
    }

    #[test]
    fn a_policy_field_beside_the_options_is_shown_its_place() {
        for kind in ["local", "file"] {
            let text = format!("[connectors.a]\ntype = \"{kind}\"\npriority = 3");
            contains(&refused(&text), &["line 3", "connectors.a", "policy = { priority = ... }"]);
        }
    }

    #[test]
    fn unknown_fields_and_words_are_shown_the_nearest() {
        contains(&refused("[connectors.a]\ntype = \"lcal\""), &["line 1", "\"local\""]);
        contains(&refused("[connectors.a]\ntype = \"local\"\npolicy.priorty = 1"), &["line 3", "\"priority\""]);
        let text = "[connectors.a]\ntype = \"file\"\ndir = \"/x\"\ndurability = \"hst\"";
        contains(&refused(text), &["line 4", "\"host\""]);
        contains(&refused("[connectors.a]\ndir = \"/x\""), &["line 1", "connectors.a", "type"]);
        contains(&refused("\n[connectors.a]\ntype = \"file\""), &["line 2", "connectors.a", "dir", "missing"]);
    }
}

mod travelling {
    use super::*;

    /// A directory, and a reference that stands for it.
    fn behind_a_reference() -> (tempfile::TempDir, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let (target, named) = (dir.path().join("target-of-it"), dir.path().join("named"));
        std::fs::write(&named, target.display().to_string()).unwrap();
        (dir, format!("${{file:{}}}", named.display()), target.display().to_string())
    }

    #[test]
    fn a_reference_travels_and_never_what_it_stands_for() {
        let (_dir, reference, target) = behind_a_reference();
        let config = Config::from_text(&format!("[connectors.a]\ntype = \"file\"\ndir = \"{reference}\"")).unwrap();
        let multi = Registry::builtin().connect(&config).unwrap();
        multi.put("x", &PutOptions::new()).unwrap();
        assert!(std::path::Path::new(&target).exists());
        assert_eq!(multi.config(), config);
        let files = Registry::builtin().open(&config.entries()[0].connector).unwrap();
        assert_eq!(files.config(), config.entries()[0].connector);
        let alone = MultiConnector::builder().connector("a", files, Policy::any()).build().unwrap();
        assert_eq!(alone.config(), config);
        assert!(!format!("{multi:?} {alone:?}").contains(&target));
    }

    #[test]
    fn what_proxystore_would_not_understand_is_listed() {
        let text = "[connectors.a]\ntype = \"file\"\ndir = \"${env:SCRATCH}/x\"\ndurability = \"host\"\n\
                    policy = { fallback = true, cooldown = 3 }\n[connectors.b]\ntype = \"file\"\ndir = \"/plain/$${x}\"";
        let config = Config::from_text(text).unwrap();
        let theirs = Registry::builtin().to_proxystore_json(&config, Flavor::Proxystore).unwrap();
        let [reference, option, cooldown, fallback] = {
            let mut left_out = theirs.left_out.clone();
            left_out.sort();
            <[String; 4]>::try_from(left_out).unwrap()
        };
        contains(&option, &["a: ", "\"durability\""]);
        contains(&reference, &["a: ", "reference", "\"dir\""]);
        contains(&fallback, &["a: ", "fallback"]);
        contains(&cooldown, &["a: ", "cooldown"]);
        contains(&theirs.text, &["/plain/${x}", "\"store_dir\"", "proxystore.connectors.file.FileConnector"]);
        assert!(!theirs.text.contains("fallback") && !theirs.text.contains("durability"));
        let ours = Registry::builtin().to_proxystore_json(&config, Flavor::Crossdock).unwrap();
        assert_eq!(ours.left_out, [""; 0]);
        let back = Registry::builtin().canonical(&Config::from_text(&ours.text).unwrap()).unwrap();
        assert_eq!(back, config);
    }

    #[test]
    fn options_of_python_may_be_called_as_our_fields() {
        let text = r#"{"a": ["their.module.Class", {"type": "t", "policy": [1, null], "x": 1.5}, {"priority": 2}]}"#;
        let config = Config::from_text(text).unwrap();
        let written = config.to_text(Format::Json).unwrap();
        assert_eq!(Config::from_text(&written).unwrap(), config, "{written}");
        assert_eq!(Registry::builtin().connect(&config).unwrap().config(), config);
        let without_null = text.replace("[1, null]", "{\"priority\": \"none of ours\"}");
        comes_back(&Config::from_text(&without_null).unwrap());
    }

    #[test]
    fn every_option_of_a_file_connector_comes_back() {
        let plain = FileOptions::new("/scratch/x");
        assert_eq!(plain.config().options.iter().count(), 1, "defaults are not written");
        let changed = [
            plain.clone().durability(Durability::Host),
            plain.clone().integrity(Integrity::Size),
            plain.clone().allow_foreign_owner(true),
            plain.clone().make_dir(false),
            plain.clone().durability(Durability::Host).integrity(Integrity::Size).make_dir(false),
        ];
        for options in changed.into_iter().chain([plain.clone(), FileOptions::new("/with ${env:x} and $${y}")]) {
            let config = Config::new([Entry::new("a", options.config(), Policy::any())]);
            comes_back(&config);
            assert_eq!(Registry::builtin().connect(&config).unwrap().config(), config);
            assert_eq!(read_back(&options), options);
        }
        assert_eq!(read_back(&plain.clone().clear(true)), plain, "clearing does not travel");
    }

    fn read_back(options: &FileOptions) -> FileOptions {
        let table = options.config().options;
        let fields = crossdock::config::Fields::new(&table, "connectors.a", FileOptions::FIELDS).unwrap();
        FileOptions::from_fields(&fields).unwrap()
    }

    #[test]
    fn a_connector_from_a_config_never_clears_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let objects = dir.path().join("objects");
        let text = format!("[connectors.a]\ntype = \"file\"\ndir = {:?}\nclear = true", objects.display().to_string());
        let multi = connect(&text).unwrap();
        let key = multi.put("x", &PutOptions::new()).unwrap();
        multi.close(&CloseOptions::default()).unwrap();
        let again = connect(&text).unwrap();
        assert_eq!(again.get(&key).unwrap().as_deref(), Some(&b"x"[..]));
        again.close(&CloseOptions::default().clear(true)).unwrap();
        assert!(!objects.exists());
    }

    #[test]
    fn a_quota_travels() {
        let multi = connect("[connectors.a]\ntype = \"local\"\nmax_total_bytes = \"1 kB\"").unwrap();
        let again = connect(&multi.config().to_text(Format::Toml).unwrap()).unwrap();
        for multi in [multi, again] {
            multi.put(vec![0; 1000], &PutOptions::new()).unwrap();
            assert_eq!(multi.put("x", &PutOptions::new()).unwrap_err().kind(), ErrorKind::Full);
            assert_eq!(multi.put(vec![0; 1001], &PutOptions::new()).unwrap_err().kind(), ErrorKind::TooLarge);
        }
        let options = LocalOptions::new().max_total_bytes(7);
        assert_eq!(LocalConnector::with_options(&options).config(), options.config());
    }
}

mod registry {
    use super::*;

    const THEIRS: &str = r#"{
        "far": ["some.module.RedisConnector", {"hostname": "db"}, {"max_size_bytes": 3, "priority": 1}],
        "here": ["proxystore.connectors.local.LocalConnector", {}, {}]
    }"#;

    #[test]
    fn classes_that_only_python_opens_are_listed_and_take_no_others_down() {
        let config = Config::from_text(THEIRS).unwrap();
        let unknown = Registry::builtin().unknown_classes(&config);
        assert_eq!(unknown.iter().map(|entry| &*entry.name).collect::<Vec<_>>(), ["far"]);
        assert_eq!(Registry::empty().unknown_classes(&config).len(), 2);
        let multi = Registry::builtin().connect(&config).unwrap();
        assert_eq!(&*multi.put("longer", &PutOptions::new()).unwrap().connector_name, "here");
        let error = multi.put("abc", &PutOptions::new()).unwrap_err();
        assert_eq!((error.kind(), error.connector()), (ErrorKind::Unavailable, Some("far")));
        assert!(!error.is_retryable());
        contains(error.message(), &["some.module.RedisConnector"]);
        assert_eq!(multi.config().get("far"), config.get("far"));
    }

    #[test]
    fn a_type_of_the_same_name_replaces_the_known_one() {
        let mut registry = Registry::builtin();
        let count = registry.types().len();
        let bounded = |_: &crossdock::config::Fields<'_>| -> Result<std::sync::Arc<dyn Opener>> {
            Ok(std::sync::Arc::new(LocalOptions::new().max_total_bytes(1)))
        };
        registry.register(ConnectorType::new("local", &[], bounded).class_paths(["own.module.Class"]));
        assert_eq!(registry.types().len(), count);
        for name in ["local", "own.module.Class"] {
            let connector = registry.open(&ConnectorConfig::new(name, Table::new())).unwrap();
            assert_eq!(connector.put_bytes("xy").unwrap_err().kind(), ErrorKind::TooLarge);
        }
        assert!(registry.get("proxystore.connectors.local.LocalConnector").is_none());
    }

    #[test]
    fn configs_and_properties_are_built_from_parts() {
        let table = Table::new().with("max_total_bytes", 5_u64).with("max_total_bytes", 10_u64);
        assert_eq!(table.get("max_total_bytes").map(|node| &node.value), Some(&Value::Integer(10)));
        let connector = ConnectorConfig::new("local", table);
        let entry = Entry::new("a", connector.clone(), Policy::any());
        assert_eq!((&*entry.name, entry.line), ("a", 0));
        let config = Config::new([entry]);
        assert_eq!(config, Config::from_text("[connectors.a]\ntype = \"local\"\nmax_total_bytes = 10").unwrap());
        assert!(Registry::builtin().open(&connector).unwrap().put_bytes("more than ten").is_err());

        let all = Properties::NONE.durable(Durability::Host).remote().shared();
        assert_eq!((all.durability, all.remote, all.shared), (Some(Durability::Host), true, true));
        assert_eq!(Properties::NONE.shared(), Properties::NONE.shared().shared());
        let most = |asked| all.require(Some(asked)).map_err(|error| error.kind());
        assert_eq!(most(Durability::Process), Ok(()));
        assert_eq!(most(Durability::Host), Ok(()));
        assert_eq!(most(Durability::Backend), Err(ErrorKind::Unsupported));
        assert!(Properties::NONE.require(None).is_ok());
        assert!(Properties::NONE.require(Some(Durability::Process)).is_err());
    }

    #[test]
    fn two_connectors_of_one_name_are_refused() {
        let builder = MultiConnector::builder().connector("a", LocalConnector::new(), Policy::any()).connector(
            "a",
            LocalConnector::new(),
            Policy::any(),
        );
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        contains(error.message(), &["\"a\""]);
    }
}

mod places {
    use super::*;

    #[test]
    fn an_option_is_named_with_its_whole_place_in_both_forms() {
        let ours = "[connectors.outer]\ntype = \"multi\"\n[connectors.outer.connectors.inner]\ntype = \"local\"\nx = 1";
        contains(&refused(ours), &["line 5", "connectors.outer.connectors.inner: unknown field \"x\""]);
        let theirs = r#"{"a": ["proxystore.connectors.local.LocalConnector", {"x": 1}, {}]}"#;
        contains(&refused(theirs), &["connectors.a: unknown field \"x\""]);
        let theirs = r#"{"a": ["proxystore.connectors.local.LocalConnector", {}, {"x": 1}]}"#;
        contains(&refused(theirs), &["connectors.a.policy: unknown field \"x\""]);
    }

    #[test]
    fn a_list_of_tables_is_explained_however_long_it_is() {
        for count in [1, 2, 3, 4] {
            let text = "[[connectors]]\ntype = \"local\"\n".repeat(count);
            contains(&refused(&text), &["[connectors.NAME]"]);
        }
    }

    #[test]
    fn a_nested_multi_connector_needs_connectors() {
        contains(&refused("[connectors.outer]\ntype = \"multi\""), &["line 1", "connectors is missing"]);
    }
}

mod classes_of_python {
    use super::*;

    #[test]
    fn no_number_changes_its_type_or_its_value() {
        let class = |number: &str| format!(r#"{{"a": ["x.Y", {{"n": {number}}}, {{}}]}}"#);
        let beyond = format!("1{}", "0".repeat(39));
        contains(&refused(&class(&beyond)), &["out of range"]);
        contains(&refused(&class("18446744073709551616")), &["64 bits"]);
        let config = Config::from_text(&class("18446744073709551615")).unwrap();
        assert_eq!(config.to_text(Format::Toml).unwrap_err().kind(), ErrorKind::InvalidConfig);
        let config = Config::from_text(&class("9223372036854775807")).unwrap();
        comes_back(&config);
    }
}
