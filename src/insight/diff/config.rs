//! Differences between the configs of two images, setting by setting.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::config::ImageConfig;

/// One setting that differs. A value that an image lacks is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConfigChange {
    /// The key in the config: `Env`, `Cmd`, `Labels` and so on.
    pub field: String,
    /// The variable, label, port or volume.
    pub name: Option<String>,
    /// The value in A.
    pub a: Option<Value>,
    /// The value in B.
    pub b: Option<Value>,
}

/// Settings by field and name.
type SettingMap = BTreeMap<(String, Option<String>), Value>;

/// Returns the settings that differ, sorted by field and name.
///
/// A setting that is empty or `null` is the same as one that is absent, as builders write both.
pub fn config_changes(a: &ImageConfig, b: &ImageConfig) -> Vec<ConfigChange> {
    let (a, b) = (settings(a), settings(b));
    let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    keys.into_iter()
        .filter(|key| a.get(key) != b.get(key))
        .map(|key| ConfigChange {
            field: key.0.clone(),
            name: key.1.clone(),
            a: a.get(key).cloned(),
            b: b.get(key).cloned(),
        })
        .collect()
}

fn settings(config: &ImageConfig) -> SettingMap {
    let mut settings = SettingMap::new();
    let platform = config.platform();
    let platform = if platform.is_empty() { String::new() } else { platform.to_string() };
    let mut add = |field: &str, name: Option<&str>, value: Value| {
        settings.insert((field.to_owned(), name.map(str::to_owned)), value);
    };
    for (field, text) in [
        ("platform", Some(platform)),
        ("created", config.created.clone()),
        ("author", config.author.clone()),
    ] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            add(field, None, text.into());
        }
    }
    for (field, value) in config.config.as_ref().and_then(Value::as_object).into_iter().flatten() {
        match (field.as_str(), value) {
            (_, value) if is_empty(value) => {}
            ("Env", Value::Array(variables)) => {
                for variable in variables.iter().filter_map(Value::as_str) {
                    let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
                    add(field, Some(name), value.into());
                }
            }
            ("Labels" | "ExposedPorts" | "Volumes", Value::Object(members)) => {
                for (name, value) in members {
                    add(field, Some(name), value.clone());
                }
            }
            _ => add(field, None, value.clone()),
        }
    }
    settings
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(config: &Value) -> ImageConfig {
        let document = json!({"architecture": "amd64", "os": "linux", "config": config});
        ImageConfig::parse(document.to_string().as_bytes()).unwrap()
    }

    #[track_caller]
    fn assert_changes(a: &Value, b: &Value, expected: &[(&str, &str, Value, Value)]) {
        let absent = |value: &Option<Value>| value.clone().unwrap_or(Value::Null);
        let found: Vec<_> = config_changes(&parse(a), &parse(b))
            .into_iter()
            .map(|change| {
                let name = change.name.clone().unwrap_or_default();
                (change.field, name, absent(&change.a), absent(&change.b))
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(field, name, a, b)| {
                ((*field).to_owned(), (*name).to_owned(), a.clone(), b.clone())
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn config_lists_are_compared_as_a_whole() {
        assert_changes(
            &json!({"Cmd": ["sh"], "Entrypoint": ["/run", "a"], "User": "app"}),
            &json!({"Cmd": ["bash"], "Entrypoint": ["/run", "a"], "WorkingDir": "/srv"}),
            &[
                ("Cmd", "", json!(["sh"]), json!(["bash"])),
                ("User", "", json!("app"), Value::Null),
                ("WorkingDir", "", Value::Null, json!("/srv")),
            ],
        );
    }

    #[test]
    fn config_maps_are_compared_by_name() {
        assert_changes(
            &json!({"Env": ["A=1", "B=2=3", "C"], "Labels": {"x": "1"}, "ExposedPorts": {"80/tcp": {}}}),
            &json!({"Env": ["B=2", "A=1", "D="], "Labels": {"x": "2"}, "Volumes": {"/data": {}}}),
            &[
                ("Env", "B", json!("2=3"), json!("2")),
                ("Env", "C", json!(""), Value::Null),
                ("Env", "D", Value::Null, json!("")),
                ("ExposedPorts", "80/tcp", json!({}), Value::Null),
                ("Labels", "x", json!("1"), json!("2")),
                ("Volumes", "/data", Value::Null, json!({})),
            ],
        );
    }

    #[test]
    fn empty_and_absent_settings_are_the_same() {
        let empty = json!({"User": "", "Cmd": null, "Env": [], "Labels": {}, "Tty": false});
        assert_changes(&empty, &json!({}), &[]);
        assert_changes(&empty, &Value::Null, &[]);
    }

    #[test]
    fn platform_and_date_of_configs_are_compared() {
        let (mut a, b) = (parse(&json!({})), parse(&json!({})));
        a.architecture = "arm64".into();
        a.created = Some("2024-05-01T10:00:00Z".into());
        let fields: Vec<_> = config_changes(&a, &b).into_iter().map(|c| (c.field, c.b)).collect();
        let platform = Some(json!("linux/amd64"));
        assert_eq!(fields, [("created".to_owned(), None), ("platform".to_owned(), platform)]);
    }
}
