//! Keys as text and as JSON: what comes back, what is refused.

use crossdock::connectors::LocalConnector;
use crossdock::{Key, MultiConnector, MultiKey, ObjectKey, Policy, PutOptions};

/// A key below that many connectors.
fn nested(depth: usize) -> Key {
    (0..depth).fold(ObjectKey::bare("id").into(), |key: Key, _| MultiKey::new("m", key).into())
}

#[test]
fn a_key_nests_sixteen_connectors_at_most_as_text() {
    let deepest = nested(16);
    assert_eq!(deepest.to_string().parse(), Ok(deepest));
    for depth in [17, 1000] {
        let why = nested(depth).to_string().parse::<Key>().unwrap_err().to_string();
        assert!(why.contains("16") && why.len() < 500, "{why}");
    }
}

#[test]
fn a_key_nests_sixteen_connectors_at_most_as_json() {
    let deepest = serde_json::to_string(&nested(16)).unwrap();
    assert_eq!(serde_json::from_str::<Key>(&deepest).unwrap(), nested(16));
    let deeper = serde_json::to_string(&nested(17)).unwrap();
    assert!(serde_json::from_str::<Key>(&deeper).unwrap_err().to_string().contains("16"));
    let hostile = "[\"m\",".repeat(10_000);
    assert!(serde_json::from_str::<Key>(&hostile).is_err());
}

#[test]
fn a_key_is_never_taken_for_an_option() {
    for name in ["-", "--clear", "-a/b", "-ä"] {
        let multi = MultiConnector::builder().connector(name, LocalConnector::new(), Policy::any()).build().unwrap();
        let key = multi.put("x", &PutOptions::new()).unwrap();
        let text = key.to_string();
        assert!(text.starts_with("%2D"), "{text}");
        assert_eq!(text.parse(), Ok(key));
    }
    let bare = Key::from(ObjectKey::bare("-rf"));
    assert_eq!((bare.to_string().as_str(), "%2Drf".parse()), ("%2Drf", Ok(bare.clone())));
    assert_eq!("-rf".parse(), Ok(bare), "what others wrote is read");
}
