//! As much of JSON Schema as `docs/diff.schema.json` uses; a word it does not know fails, so that none is passed over.

use serde_json::Value;
use std::path::Path;

/// Fails where the document is not what the schema says.
pub fn valid(document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diff.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the schema")).expect("JSON");
    let mut wrong = Vec::new();
    check(&schema, document, "$", &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    for (word, rule) in schema.as_object().expect("a schema is an object") {
        let held = match word.as_str() {
            "$schema" | "$id" | "title" | "description" => true,
            "type" => types(rule).iter().any(|kind| is(kind, value)),
            "const" => rule == value,
            "enum" => rule.as_array().expect("enum").contains(value),
            "required" => {
                rule.as_array().expect("required").iter().all(|key| value.get(key.as_str().expect("a key")).is_some())
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object().expect("properties");
                value.as_object().is_none_or(|object| object.keys().all(|key| known.contains_key(key)))
            }
            "properties" => {
                for (key, rule) in rule.as_object().expect("properties") {
                    if let Some(inner) = value.get(key) {
                        check(rule, inner, &format!("{at}.{key}"), wrong);
                    }
                }
                true
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, item, &format!("{at}[{number}]"), wrong);
                }
                true
            }
            other => panic!("the schema says `{other}`, which this test does not know"),
        };
        if !held {
            wrong.push(format!("{at}: `{word}` is {rule}, found {value}"));
        }
    }
}

fn types(rule: &Value) -> Vec<&str> {
    match rule {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the schema says type `{other}`"),
    }
}
