//! The routing contract of ProxyStore's `MultiConnector`, one test for each of its lines, named after it.

use std::sync::Arc;

use crossdock::config::{Config, Format};
use crossdock::connectors::{FileOptions, LocalConnector, LocalOptions};
use crossdock::testing::{Effect, FaultyConnector, Operation};
use crossdock::{
    CloseOptions, ConnectorExt, ErrorKind, Hostname, KeyHint, MAX_SIZE_BYTES, MultiConnector, MultiConnectorBuilder,
    MultiKey, ObjectKey, Policy, PutOptions, Registry, Request,
};

fn tags(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

fn local(name: &str, policy: Policy) -> MultiConnectorBuilder {
    and_local(MultiConnector::builder(), name, policy)
}

fn and_local(builder: MultiConnectorBuilder, name: &str, policy: Policy) -> MultiConnectorBuilder {
    builder.connector(name, LocalConnector::new(), policy)
}

fn lands_in(multi: &MultiConnector, object: &'static str, options: &PutOptions) -> String {
    multi.put(object, options).unwrap().connector_name.to_string()
}

mod policy {
    use super::*;

    #[test]
    fn defaults_are_those_of_proxystore() {
        let policy = Policy::any();
        assert_eq!((policy.priority(), policy.host_pattern()), (0, None));
        assert_eq!((policy.min_size_bytes(), policy.max_size_bytes()), (0, MAX_SIZE_BYTES));
        assert_eq!(MAX_SIZE_BYTES, 9_223_372_036_854_775_807, "sys.maxsize");
        assert!(policy.subset_tags().is_empty() && policy.superset_tags().is_empty());
    }

    #[test]
    fn each_argument_left_at_none_is_not_checked() {
        let policy = Policy::builder().min_size_bytes(5).superset_tags(["must"]).build().unwrap();
        assert!(policy.accepts(&Request::default(), "host"));
        assert!(!policy.accepts(&Request::new().size(4), "host"));
        let (none, unknown) = (tags(&[]), tags(&["x"]));
        assert!(!policy.accepts(&Request::new().superset_tags(&none), "host"));
        assert!(!policy.accepts(&Request::new().subset_tags(&unknown), "host"));
    }

    #[test]
    fn the_host_is_always_checked() {
        let policy = Policy::builder().host_pattern("here").build().unwrap();
        assert!(policy.accepts(&Request::default(), "here"));
        assert!(!policy.accepts(&Request::default(), "there"));
    }

    #[test]
    fn both_size_bounds_are_inclusive() {
        let policy = Policy::builder().min_size_bytes(10).max_size_bytes(20).build().unwrap();
        let takes = |size| policy.accepts(&Request::new().size(size), "host");
        assert_eq!([9, 10, 20, 21].map(takes), [false, true, true, false]);
    }

    #[test]
    fn the_requests_subset_tags_must_be_a_subset_of_the_policys() {
        let policy = Policy::builder().subset_tags(["a", "b"]).build().unwrap();
        let takes = |given: &[&str]| policy.accepts(&Request::new().subset_tags(&tags(given)), "host");
        assert!(takes(&[]) && takes(&["a"]) && takes(&["b", "a", "a"]));
        assert!(!takes(&["c"]) && !takes(&["a", "c"]) && !takes(&["A"]));
    }

    #[test]
    fn the_requests_superset_tags_must_be_a_superset_of_the_policys() {
        let policy = Policy::builder().superset_tags(["a", "b"]).build().unwrap();
        let takes = |given: &[&str]| policy.accepts(&Request::new().superset_tags(&tags(given)), "host");
        assert!(takes(&["a", "b"]) && takes(&["c", "b", "a"]));
        assert!(!takes(&[]) && !takes(&["a"]) && !takes(&["c"]));
    }

    #[test]
    fn a_host_pattern_is_none_or_one_or_several_of_which_one_must_match_the_whole_name() {
        let holds = |policy: &Policy, host| policy.is_valid_on_host(host).unwrap();
        assert!(holds(&Policy::any(), "anything"));
        let one = Policy::builder().host_pattern(r"nid\d+").build().unwrap();
        assert!(holds(&one, "nid0042") && !holds(&one, "nid0042.cluster") && !holds(&one, "xnid0042"));
        let several = Policy::builder().host_patterns(["login.", r"nid\d+"]).build().unwrap();
        assert!(holds(&several, "login1") && holds(&several, "nid7") && !holds(&several, "gpu"));
    }

    #[test]
    fn an_empty_list_of_patterns_matches_no_host() {
        let none = Policy::builder().host_patterns::<&str>([]).build().unwrap();
        assert!(!none.is_valid_on_host("").unwrap() && !none.is_valid_on_host("host").unwrap());
    }

    #[test]
    fn patterns_mean_what_they_mean_to_re_fullmatch() {
        for (pattern, host, matches) in [("a|ab", "ab", true), ("a++a", "aaa", false), ("[a&&b]", "&", true)] {
            let policy = Policy::builder().host_pattern(pattern).build().unwrap();
            assert_eq!(policy.is_valid_on_host(host), Ok(matches), "{pattern}");
        }
    }

    #[test]
    fn a_policy_as_a_table_has_exactly_the_six_fields_and_comes_back_equal() {
        let names = ["priority", "host_pattern", "min_size_bytes", "max_size_bytes", "subset_tags", "superset_tags"];
        let policies = [
            Policy::any(),
            Policy::builder().priority(-3).host_pattern("a").min_size_bytes(1).max_size_bytes(2).build().unwrap(),
            Policy::builder().host_patterns(["a"]).subset_tags(["x", "x"]).superset_tags(["y"]).build().unwrap(),
            Policy::builder().host_patterns::<&str>([]).build().unwrap(),
        ];
        for policy in policies {
            let table = policy.to_table();
            assert_eq!(table.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
            assert_eq!(Policy::from_table(&table, "policy").unwrap(), policy);
        }
    }

    #[test]
    fn an_extension_is_written_only_when_it_differs_from_its_default() {
        let policy = Policy::builder().fallback(true).build().unwrap();
        assert!(policy.to_table().get("fallback").is_some());
        assert_eq!(Policy::from_table(&policy.to_table(), "policy").unwrap(), policy);
        assert!(Policy::builder().fallback(false).build().unwrap().to_table().get("fallback").is_none());
    }

    #[test]
    fn impossible_ranges_and_broken_patterns_are_refused_when_the_policy_is_built() {
        let refused = Policy::builder().min_size_bytes(2).max_size_bytes(1).build().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
        assert!(refused.message().contains("min_size_bytes (2)") && refused.message().contains("max_size_bytes (1)"));
        let refused = Policy::builder().host_pattern("a)|(b").build().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
        assert!(refused.message().contains("position 1"), "{refused}");
        let text = "[connectors.a]\ntype = \"local\"\npolicy = { min_size_bytes = -1 }";
        assert!(Config::from_text(text).unwrap_err().message().contains("below 0"));
    }
}

mod put {
    use super::*;

    #[test]
    fn connectors_are_asked_from_the_highest_priority_down() {
        let with = |priority| Policy::builder().priority(priority).build().unwrap();
        let multi = and_local(and_local(local("low", with(-1)), "high", with(2)), "middle", with(1)).build().unwrap();
        assert_eq!(lands_in(&multi, "x", &PutOptions::new()), "high");
        let explanation = multi.explain(Some(1), &PutOptions::new());
        let order: Vec<&str> = explanation.verdicts.iter().map(|verdict| &*verdict.connector).collect();
        assert_eq!(order, ["high", "middle", "low"]);
    }

    #[test]
    fn ties_go_in_the_order_in_which_they_were_given() {
        for names in [["a", "b"], ["b", "a"]] {
            let multi = and_local(local(names[0], Policy::any()), names[1], Policy::any()).build().unwrap();
            assert_eq!(lands_in(&multi, "x", &PutOptions::new()), names[0]);
        }
    }

    #[test]
    fn the_first_valid_one_takes_the_object() {
        let small = Policy::builder().priority(9).max_size_bytes(3).build().unwrap();
        let multi = and_local(local("small", small), "rest", Policy::any()).build().unwrap();
        assert_eq!(lands_in(&multi, "123", &PutOptions::new()), "small");
        assert_eq!(lands_in(&multi, "1234", &PutOptions::new()), "rest");
    }

    #[test]
    fn none_valid_is_no_route_and_says_why_with_numbers() {
        let small = Policy::builder().max_size_bytes(3).subset_tags(["t"]).build().unwrap();
        let large = Policy::builder().min_size_bytes(100).superset_tags(["must"]).build().unwrap();
        let away = Policy::builder().host_pattern("elsewhere").build().unwrap();
        let multi = and_local(and_local(local("small", small), "large", large), "away", away)
            .hostname(Hostname::Fixed("here".to_owned()))
            .build()
            .unwrap();
        let error = multi.put("12345", &PutOptions::new().subset_tags(["t", "u"])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoRoute);
        for words in [
            "policy",
            "constraints",
            "small",
            "5 bytes, the maximum is 3 bytes",
            "\"u\"",
            "allowed are [\"t\"]",
            "large",
            "the minimum is 100",
            "missing: [\"must\"]",
            "away",
            "\"here\" does not match \"elsewhere\"",
        ] {
            assert!(error.message().contains(words), "{words:?} is in {error}");
        }
    }

    #[test]
    fn a_put_without_superset_tags_never_matches_a_policy_that_demands_some() {
        let demanding = Policy::builder().superset_tags(["must"]).build().unwrap();
        let multi = local("demanding", demanding).build().unwrap();
        assert_eq!(multi.put("x", &PutOptions::new()).unwrap_err().kind(), ErrorKind::NoRoute);
        assert_eq!(lands_in(&multi, "x", &PutOptions::new().superset_tags(["must", "more"])), "demanding");
    }

    #[test]
    fn a_multi_connector_without_connectors_takes_nothing() {
        let multi = MultiConnector::builder().build().unwrap();
        assert!(multi.put("x", &PutOptions::new()).unwrap_err().message().contains("no connectors"));
    }
}

mod keys {
    use super::*;

    /// Two connectors; whatever is asked about a key must reach the one that the key names, and only that one.
    #[test]
    fn get_exists_evict_and_get_batch_go_to_the_connector_that_the_key_names() {
        let (first, second) = (faulty(), faulty());
        let multi = MultiConnector::builder()
            .connector("first", first.clone(), Policy::any())
            .connector("second", second.clone(), Policy::builder().min_size_bytes(100).priority(-1).build().unwrap())
            .build()
            .unwrap();
        // Put straight into the second, which no policy would choose for it.
        let key = MultiKey::new("second", second.put_bytes("x").unwrap());
        assert_eq!(multi.get(&key).unwrap().as_deref(), Some(&b"x"[..]));
        assert!(multi.exists(&key).unwrap());
        assert_eq!(
            multi.get_batch(std::slice::from_ref(&key), &Default::default()).unwrap()[0].as_deref(),
            Some(&b"x"[..])
        );
        multi.evict(&key).unwrap();
        let asked = [Operation::Get, Operation::Exists, Operation::GetBatch, Operation::Evict];
        assert_eq!(asked.map(|operation| first.calls(operation)), [0; 4]);
        assert_eq!(asked.map(|operation| second.calls(operation)), [1; 4]);
    }

    fn faulty() -> Arc<FaultyConnector> {
        Arc::new(FaultyConnector::new(LocalConnector::new()))
    }

    #[test]
    fn unknown_name_and_dormant_connector_are_two_different_errors() {
        let asleep = Policy::builder().host_pattern("elsewhere").build().unwrap();
        let multi = and_local(MultiConnector::builder(), "awake", Policy::any())
            .lazy("asleep", Arc::new(LocalOptions::default()), asleep)
            .hostname(Hostname::Fixed("here".to_owned()))
            .build()
            .unwrap();
        let key = |name: &str| MultiKey::new(name, ObjectKey::bare("id"));
        let dormant = multi.get(&key("asleep")).unwrap_err();
        assert_eq!(dormant.kind(), ErrorKind::Dormant);
        assert!(dormant.message().contains("dormant") && dormant.message().contains("elsewhere"), "{dormant}");
        let unknown = multi.get(&key("nowhere")).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::UnknownConnector);
        assert!(unknown.message().contains("does not exist") && unknown.message().contains("awake"), "{unknown}");
        for error in [
            multi.exists(&key("asleep")).unwrap_err(),
            multi.evict(&key("asleep")).unwrap_err(),
            multi.get_batch(&[key("asleep")], &Default::default()).unwrap_err(),
            multi.set(&key("asleep"), "x", &PutOptions::new()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Dormant);
        }
    }

    #[test]
    fn a_missing_object_is_none_and_evicting_it_is_silent() {
        let multi = local("only", Policy::any()).build().unwrap();
        let key = multi.put("x", &PutOptions::new()).unwrap();
        multi.evict(&key).unwrap();
        assert_eq!(multi.get(&key).unwrap(), None);
        assert!(!multi.exists(&key).unwrap());
        multi.evict(&key).unwrap();
    }

    #[test]
    fn new_key_leaves_exists_false_until_set_and_a_second_set_is_allowed() {
        let multi = local("only", Policy::any()).build().unwrap();
        let key = multi.new_key(&KeyHint::default()).unwrap();
        assert!(!multi.exists(&key).unwrap());
        assert_eq!(multi.get(&key).unwrap(), None);
        multi.set(&key, "x", &PutOptions::new()).unwrap();
        multi.set(&key, "x", &PutOptions::new()).unwrap();
        assert_eq!(multi.get(&key).unwrap().as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn new_key_routes_by_what_the_hint_says() {
        let small = Policy::builder().max_size_bytes(3).build().unwrap();
        let tagged = Policy::builder().superset_tags(["t"]).priority(1).build().unwrap();
        let multi = and_local(and_local(local("small", small), "tagged", tagged), "rest", Policy::any());
        let multi = multi.build().unwrap();
        let name = |hint: KeyHint| multi.new_key(&hint).unwrap().connector_name.to_string();
        assert_eq!(name(KeyHint::new()), "rest", "of an unknown size: whoever takes every size comes first");
        assert_eq!(name(KeyHint::new().size(3)), "small");
        assert_eq!(name(KeyHint::new().size(4)), "rest");
        assert_eq!(name(KeyHint::new().size(4).options(PutOptions::new().superset_tags(["t"]))), "tagged");
    }

    #[test]
    fn new_key_passes_over_connectors_that_cannot_defer() {
        let blind = FaultyConnector::new(LocalConnector::new()).not_deferrable();
        let multi = MultiConnector::builder().connector("blind", blind, Policy::any());
        let both = and_local(multi, "seeing", Policy::any()).build().unwrap();
        assert_eq!(&*both.new_key(&KeyHint::default()).unwrap().connector_name, "seeing");
        let blind = FaultyConnector::new(LocalConnector::new()).not_deferrable();
        let alone = MultiConnector::builder().connector("blind", blind, Policy::any()).build().unwrap();
        let error = alone.new_key(&KeyHint::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoRoute);
        assert!(error.message().contains("before its object"), "{error}");
    }
}

mod config {
    use super::*;

    const TEXT: &str = r#"{
        "third": ["proxystore.connectors.local.LocalConnector", {"include_data_in_config": false},
            {"priority": 0, "host_pattern": "elsewhere", "min_size_bytes": 0, "max_size_bytes": 9223372036854775807,
             "subset_tags": [], "superset_tags": []}],
        "first": ["proxystore.connectors.local.LocalConnector", {}, {"priority": 0}],
        "second": ["proxystore.connectors.local.LocalConnector", {}, {}]
    }"#;

    fn on(host: &str) -> MultiConnector {
        let config = Config::from_text(TEXT).unwrap();
        Registry::builtin().connect_as(&config, Hostname::Fixed(host.to_owned())).unwrap()
    }

    #[test]
    fn config_gives_every_entry_and_from_config_rebuilds() {
        let multi = on("here");
        let config = multi.config();
        let again = Registry::builtin().connect_as(&config, Hostname::Fixed("here".to_owned())).unwrap();
        assert_eq!(again.config(), config);
        assert_eq!(config.entries().len(), 3);
    }

    #[test]
    fn entries_whose_policy_does_not_hold_here_stay_dormant_and_are_kept() {
        let multi = on("here");
        assert_eq!(multi.dormant_names().collect::<Vec<_>>(), ["third"]);
        assert_eq!(multi.connector_names().collect::<Vec<_>>(), ["first", "second"]);
        assert!(multi.config().get("third").is_some());
    }

    #[test]
    fn a_dormant_entry_wakes_up_on_another_host() {
        let elsewhere =
            Registry::builtin().connect_as(&on("here").config(), Hostname::Fixed("elsewhere".to_owned())).unwrap();
        assert_eq!(elsewhere.dormant_names().count(), 0);
        assert_eq!(lands_in(&elsewhere, "x", &PutOptions::new()), "third", "it was given first");
    }

    #[test]
    fn ties_do_not_flip_after_a_trip_through_another_host() {
        let names = |config: &Config| config.entries().iter().map(|entry| entry.name.to_string()).collect::<Vec<_>>();
        let mut config = Config::from_text(TEXT).unwrap();
        for host in ["here", "elsewhere", "here", "third-host"] {
            let multi = Registry::builtin().connect_as(&config, Hostname::Fixed(host.to_owned())).unwrap();
            config = multi.config();
            assert_eq!(names(&config), ["third", "first", "second"]);
            for format in [Format::Toml, Format::Json] {
                let read = Config::parse(&config.to_text(format).unwrap(), format).unwrap();
                assert_eq!(read, config);
            }
        }
    }

    #[test]
    fn nested_connectors_are_on_the_same_host_and_read_in_linear_time() {
        let mut inner = r#"["crossdock.connectors.local.LocalConnector", {}, {"host_pattern": "there"}]"#.to_owned();
        for _ in 0..14 {
            inner = format!(r#"["crossdock.connectors.multi.MultiConnector", {{"m": {inner}}}, {{}}]"#);
        }
        let config = Config::from_text(&format!(r#"{{"m": {inner}}}"#)).unwrap();
        let on = |host: &str| Registry::builtin().connect_as(&config, Hostname::Fixed(host.to_owned())).unwrap();
        on("there").put("x", &PutOptions::new()).unwrap();
        assert_eq!(on("here").put("x", &PutOptions::new()).unwrap_err().kind(), ErrorKind::NoRoute);
    }

    #[test]
    fn a_connector_may_be_called_connectors() {
        let text = r#"{"connectors": ["proxystore.connectors.local.LocalConnector", {}, {}]}"#;
        let config = Config::from_text(text).unwrap();
        let multi = Registry::builtin().connect(&config).unwrap();
        assert_eq!(lands_in(&multi, "x", &PutOptions::new()), "connectors");
        let text = multi.config().to_text(Format::Toml).unwrap();
        assert_eq!(Config::from_text(&text).unwrap(), multi.config());
    }

    #[test]
    fn one_broken_connector_does_not_take_the_others_down() {
        let blocked = tempfile::NamedTempFile::new().unwrap();
        let broken = FileOptions::new(blocked.path().join("below-a-file"));
        let builder = MultiConnector::builder().lazy("broken", Arc::new(broken), Policy::any());
        let fine = Policy::builder().priority(1).max_size_bytes(1).build().unwrap();
        let multi = and_local(builder, "fine", fine).build().unwrap();
        assert_eq!(lands_in(&multi, "x", &PutOptions::new()), "fine");
        let error = multi.put("too large", &PutOptions::new()).unwrap_err();
        assert_eq!((error.kind(), error.connector()), (ErrorKind::Unavailable, Some("broken")));
        let checks = multi.check_each();
        let checks: Vec<_> = checks.iter().map(|(name, outcome)| (&**name, outcome.is_ok())).collect();
        assert_eq!(checks, [("broken", false), ("fine", true)]);
    }
}

mod close {
    use super::*;

    #[test]
    fn close_closes_all_managed_connectors_also_after_one_that_fails() {
        let failing = FaultyConnector::new(LocalConnector::new())
            .on_every(Operation::Close, Effect::Fail(ErrorKind::Unavailable));
        let (failing, last) = (Arc::new(failing), Arc::new(FaultyConnector::new(LocalConnector::new())));
        let multi = MultiConnector::builder()
            .connector("failing", failing.clone(), Policy::any())
            .connector("last", last.clone(), Policy::any())
            .build()
            .unwrap();
        let error = multi.close(&CloseOptions::default()).unwrap_err();
        assert_eq!((error.kind(), error.connector()), (ErrorKind::Unavailable, Some("failing")));
        assert_eq!((failing.calls(Operation::Close), last.calls(Operation::Close)), (1, 1));
        multi.close(&CloseOptions::default()).unwrap();
        assert_eq!(last.calls(Operation::Close), 1, "closing is idempotent");
    }

    #[test]
    fn clear_is_passed_on_to_every_connector() {
        let dir = tempfile::tempdir().unwrap();
        let objects = dir.path().join("objects");
        let build = || {
            MultiConnector::builder()
                .lazy("files", Arc::new(FileOptions::new(&objects)), Policy::any())
                .build()
                .unwrap()
        };
        build().put("x", &PutOptions::new()).unwrap();
        build().close(&CloseOptions::default()).unwrap();
        assert!(objects.exists());
        build().close(&CloseOptions::default().clear(true)).unwrap();
        assert!(!objects.exists());
    }
}

mod nesting {
    use super::*;

    #[test]
    fn nested_multi_connectors_see_the_tags() {
        let inner = and_local(
            local("tagged", Policy::builder().superset_tags(["deep"]).priority(1).build().unwrap()),
            "plain",
            Policy::any(),
        );
        let outer =
            MultiConnector::builder().connector("nested", inner.build().unwrap(), Policy::any()).build().unwrap();
        let key = outer.put("x", &PutOptions::new().superset_tags(["deep"])).unwrap();
        assert!(key.to_string().starts_with("nested/tagged/"), "{key}");
        assert!(outer.put("x", &PutOptions::new()).unwrap().to_string().starts_with("nested/plain/"));
        assert_eq!(outer.get(&key).unwrap().as_deref(), Some(&b"x"[..]));
        let error = outer.put("x", &PutOptions::new().subset_tags(["none"])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoRoute);
    }

    #[test]
    fn an_error_names_the_way_to_the_connector() {
        let failing =
            FaultyConnector::new(LocalConnector::new()).on_every(Operation::Put, Effect::Fail(ErrorKind::Full));
        let inner = MultiConnector::builder().connector("inner", failing, Policy::any()).build().unwrap();
        let outer = MultiConnector::builder().connector("outer", inner, Policy::any()).build().unwrap();
        let error = outer.put("x", &PutOptions::new()).unwrap_err();
        assert_eq!((error.connector(), error.operation()), (Some("outer/inner"), Some("put")));
    }
}
