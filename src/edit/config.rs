//! Changes of an image's config.

use serde_json::{Value, json};

use super::edited_object::EditedObject;
use crate::error::Result;
use crate::setters::setters;

const CONFIG: &str = "config";

/// What to change in the config of an image. The rest stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigChanges {
    /// Variables of the environment, with their values. One of the same name is replaced.
    pub env: Vec<(String, String)>,
    /// The command, or the arguments of the entry point; empty for none.
    pub cmd: Option<Vec<String>>,
    /// The entry point; empty for none. Removes the command, which is made for another one, unless there is a new one too.
    pub entrypoint: Option<Vec<String>>,
    /// Labels with their values.
    pub labels: Vec<(String, String)>,
    /// User, or user and group: `1000`, `app:app`.
    pub user: Option<String>,
    /// Directory in which the command starts. A relative one is resolved against that of the image, as `WORKDIR` does.
    pub working_dir: Option<String>,
    /// Ports with their protocols that the image serves, besides those that it names: `80/tcp`.
    pub ports: Vec<String>,
    /// Creation time in RFC 3339.
    pub created: Option<String>,
}

impl ConfigChanges {
    setters! {
        value env: Vec<(String, String)>;
        optional cmd: Vec<String>;
        optional entrypoint: Vec<String>;
        value labels: Vec<(String, String)>;
        optional into user: String;
        optional into working_dir: String;
        value ports: Vec<String>;
        optional into created: String;
    }

    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes a config, whose types were checked before.
    pub(super) fn apply(&self, object: &mut EditedObject) -> Result<()> {
        if let Some(created) = &self.created {
            object.set("created", created)?;
        }
        if *self == (Self { created: self.created.clone(), ..Self::default() }) {
            return Ok(());
        }
        let mut config = object.object(CONFIG)?;
        if let Some(user) = &self.user {
            config.set("User", user)?;
        }
        if !self.ports.is_empty() {
            config
                .extend("ExposedPorts", self.ports.iter().map(|port| (port.clone(), json!({}))))?;
        }
        if !self.env.is_empty() {
            let env = with_variables(config.texts("Env")?, &self.env);
            config.set("Env", &env)?;
        }
        if let Some(entrypoint) = &self.entrypoint {
            set_words(&mut config, "Entrypoint", entrypoint)?;
            config.remove("Cmd");
        }
        if let Some(cmd) = &self.cmd {
            set_words(&mut config, "Cmd", cmd)?;
        }
        if let Some(working_dir) = &self.working_dir {
            let own = config.text("WorkingDir")?;
            config.set("WorkingDir", &absolute(working_dir, own.as_deref()))?;
        }
        if !self.labels.is_empty() {
            config.extend("Labels", texts(&self.labels))?;
        }
        object.set(CONFIG, &config)
    }
}

/// Keys and texts as members of a map.
pub(super) fn texts(pairs: &[(String, String)]) -> impl Iterator<Item = (String, Value)> {
    pairs.iter().map(|(key, text)| (key.clone(), text.as_str().into()))
}

fn set_words(config: &mut EditedObject, key: &str, words: &[String]) -> Result<()> {
    if words.is_empty() {
        config.remove(key);
        return Ok(());
    }
    config.set(key, words)
}

/// The directory as runtimes expect it, which refuse a relative one. `base` is that of the image.
fn absolute(dir: &str, base: Option<&str>) -> String {
    let has_drive = dir.as_bytes().get(1) == Some(&b':');
    if dir.is_empty() || dir.starts_with(['/', '\\']) || has_drive {
        return dir.to_owned();
    }
    let base = absolute(base.unwrap_or_default(), None);
    let mut path: Vec<&str> = base.trim_end_matches('/').split('/').collect();
    for part in dir.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match part {
            ".." if path.len() > 1 => _ = path.pop(),
            ".." => {}
            name => path.push(name),
        }
    }
    if path.len() == 1 { "/".to_owned() } else { path.join("/") }
}

/// Sets variables; each stays where it was.
fn with_variables(mut env: Vec<String>, variables: &[(String, String)]) -> Vec<String> {
    for (name, value) in variables {
        let line = format!("{name}={value}");
        let is_same = |own: &&mut String| own.split('=').next() == Some(name);
        match env.iter_mut().find(is_same) {
            Some(own) => *own = line,
            None => env.push(line),
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(config: &str, changes: &ConfigChanges) -> String {
        let mut object = EditedObject::parse("config", config.as_bytes()).unwrap();
        changes.apply(&mut object).unwrap();
        String::from_utf8(object.to_vec().unwrap()).unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn config_without_changes_is_unchanged() {
        let text = r#"{"os":"linux","config":null,"x":1.0}"#;
        assert_eq!(changed(text, &ConfigChanges::default()), text);
        assert!(ConfigChanges::default().is_empty());
    }

    #[test]
    fn config_changes_keep_unknown_members() {
        let text = r#"{"x":1e99,"config":{"Env":["PATH=/bin","A=1"],"Healthcheck":{"Test":["NONE"]},"Labels":{"l":"1"}},"os":"linux"}"#;
        let changes = ConfigChanges::default()
            .env(pairs(&[("A", "2=3"), ("B", "")]))
            .labels(pairs(&[("m", "2")]))
            .user("app")
            .working_dir("/srv")
            .ports(words(&["80/tcp"]))
            .cmd(words(&["run"]));
        let expected = r#"{"x":1e99,"config":{"Env":["PATH=/bin","A=2=3","B="],"Healthcheck":{"Test":["NONE"]},"Labels":{"l":"1","m":"2"},"User":"app","ExposedPorts":{"80/tcp":{}},"Cmd":["run"],"WorkingDir":"/srv"},"os":"linux"}"#;
        assert_eq!(changed(text, &changes), expected);
    }

    #[test]
    fn working_dir_relative_is_made_absolute() {
        for (own, dir, expected) in [
            (None, "rel", "/rel"),
            (None, "/srv", "/srv"),
            (None, ".", "/"),
            (Some("/srv"), "a/./b", "/srv/a/b"),
            (Some("/srv/"), "../a", "/a"),
            (Some("/"), "../../a/", "/a"),
            (Some("/srv"), "..", "/"),
            (Some("srv"), "a", "/srv/a"),
            (Some("/srv"), "", ""),
            (Some("/srv"), "C:\\app", "C:\\app"),
        ] {
            assert_eq!(absolute(dir, own), expected, "{own:?} {dir}");
        }
    }

    #[test]
    fn entrypoint_removes_command_of_another() {
        let text = r#"{"config":{"Entrypoint":["/a"],"Cmd":["b"]}}"#;
        let entrypoint = ConfigChanges::default().entrypoint(words(&["/c"]));
        assert_eq!(changed(text, &entrypoint), r#"{"config":{"Entrypoint":["/c"]}}"#);
        let both = entrypoint.cmd(words(&["d"]));
        assert_eq!(changed(text, &both), r#"{"config":{"Entrypoint":["/c"],"Cmd":["d"]}}"#);
        let none = ConfigChanges::default().entrypoint(Vec::new()).created("2026-01-01T00:00:00Z");
        let expected = r#"{"config":{},"created":"2026-01-01T00:00:00Z"}"#;
        assert_eq!(changed(text, &none), expected);
    }
}
