//! `--format TEMPLATE`: prints results by a template, whose fields are those of `--json`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error as TemplateError, ErrorKind as TemplateErrorKind, Output};
use minijinja::{State, UndefinedBehavior, Value};
use serde_json::Value as Json;

use super::{go_template, template_fields};
use crate::cli::size::size;
use crate::error::{Error, ErrorKind, Result};
use crate::escape::{escape, escape_json};

/// Names that templates have without fields.
const OWN_NAMES: [&str; 5] = ["debug", "dict", "loop", "namespace", "range"];

/// A parsed template.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    text: String,
}

/// Whether the value of `--format` is a template, and not the name of a format.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

impl Template {
    /// Parses a template for this command.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what is no template, with the right spelling for one of Go, and for fields that a command
    /// does not have that changes something.
    pub(super) fn parse(typed: &str, verb: &str) -> Result<Self> {
        if let Some(hint) = go_template::hint(typed, verb) {
            return Err(invalid("this is a template of Go").with_hint(hint));
        }
        // As in docker's templates.
        let text = typed.replace("\\t", "\t").replace("\\n", "\n");
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_formatter(write_value);
        environment.add_filter("join", join);
        environment.add_filter("tojson", to_json);
        environment.add_filter("filesizeformat", size);
        let template = Self { environment, text };
        let names = template.names(false).map_err(|error| failed(&error))?;
        if let Some(fields) = template_fields::of_changing(verb) {
            let is_unknown = |name: &&String| {
                !fields.contains(&name.as_str()) && !OWN_NAMES.contains(&name.as_str())
            };
            if let Some(name) = names.iter().find(is_unknown) {
                return Err(undefined(name, "the fields", fields));
            }
        }
        Ok(template)
    }

    /// Returns the names that the template looks up; with `nested` also `a.b`.
    fn names(&self, nested: bool) -> std::result::Result<BTreeSet<String>, TemplateError> {
        let parsed = self.environment.template_from_str(&self.text)?;
        Ok(parsed.undeclared_variables(nested).into_iter().collect())
    }

    /// One line for each element of a list, or for a single value.
    pub(super) fn render(&self, value: &Json) -> Result<String> {
        let mut lines = String::new();
        let mut add = |value: &Json| {
            let context = value_of(value);
            let line = self.environment.render_str(&self.text, context);
            let line = line.map_err(|error| self.without_field(&error, value))?;
            lines.push_str(&line);
            lines.push('\n');
            Ok::<(), Error>(())
        };
        match value {
            Json::Array(values) => values.iter().try_for_each(add)?,
            single => add(single)?,
        }
        Ok(lines)
    }

    /// Returns the error, with the name and the existing fields if the template looks up a field that does not exist.
    fn without_field(&self, error: &TemplateError, value: &Json) -> Error {
        let names = self.names(true).unwrap_or_default();
        let is_undefined = error.kind() == TemplateErrorKind::UndefinedError;
        let undefined = names.iter().filter(|_| is_undefined).find_map(|name| missing(name, value));
        undefined.unwrap_or_else(|| failed(error))
    }
}

/// Returns the error if a part of `a.b` does not exist; `None` if it does, or for an element of a list.
fn missing(name: &str, value: &Json) -> Option<Error> {
    let (mut value, mut parents) = (value, Vec::new());
    for part in name.split('.') {
        let fields = value.as_object()?;
        let Some(next) = fields.get(part) else {
            let typed: Vec<&str> = parents.iter().copied().chain([part]).collect();
            let of = match parents.as_slice() {
                [] => "the fields".to_owned(),
                parents => format!("the fields of `{}`", parents.join(".")),
            };
            let existing: Vec<&str> = fields.keys().map(String::as_str).collect();
            return Some(undefined(&typed.join("."), &of, &existing));
        };
        parents.push(part);
        value = next;
    }
    None
}

fn undefined(name: &str, of: &str, fields: &[&str]) -> Error {
    invalid(&format!("undefined value `{name}`"))
        .with_hint(format!("use one of {of}: {}", fields.join(", ")))
}

fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(values) => values.iter().map(value_of).collect(),
        Json::Object(members) => {
            let members = members.iter().map(|(key, value)| (key.clone(), value_of(value)));
            Value::from(members.collect::<std::collections::BTreeMap<_, _>>())
        }
    }
}

/// Writes a value. Texts come from outside and are escaped, whatever their meaning in the template; nothing is written for none.
fn write_value(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), TemplateError> {
    if value.is_undefined() {
        return minijinja::escape_formatter(output, state, value);
    }
    let written = match value.kind() {
        ValueKind::None => Ok(()),
        _ if value.is_safe() => output.write_str(value.as_str().unwrap_or_default()),
        _ => output.write_str(&escape(&value.to_string())),
    };
    written.map_err(|_| TemplateError::new(TemplateErrorKind::WriteFailure, "cannot be written"))
}

/// The texts with this separator, which is not escaped.
fn join(values: &Value, separator: Option<&str>) -> Result<Value, TemplateError> {
    let mut text = String::new();
    for (at, value) in values.try_iter()?.enumerate() {
        if at > 0 {
            text.push_str(separator.unwrap_or_default());
        }
        // Writing to a `String` cannot fail.
        _ = write!(text, "{}", escape(&value.to_string()));
    }
    Ok(Value::from_safe_string(text))
}

fn to_json(value: &Value) -> Result<Value, TemplateError> {
    let text = serde_json::to_string(value).map_err(|error| {
        TemplateError::new(TemplateErrorKind::BadSerialization, "no JSON").with_source(error)
    })?;
    Ok(Value::from_safe_string(escape_json(&text).into_owned()))
}

fn invalid(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "`--format`").with_reason(reason)
}

fn failed(error: &TemplateError) -> Error {
    let kind = error.kind();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    invalid(&format!("{kind}{detail}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str, value: &Json) -> String {
        Template::parse(template, "").unwrap().render(value).unwrap()
    }

    #[test]
    fn template_prints_a_line_for_each_value() {
        let value =
            json!([{"digest": "sha256:a", "layers": [1, 2]}, {"digest": "b", "layers": []}]);
        assert_eq!(render("{{digest}} {{layers | length}}", &value), "sha256:a 2\nb 0\n");
        assert_eq!(render("x\\t{{ digest }}", &value), "x\tsha256:a\nx\tb\n");
        assert_eq!(render("{% if layers %}{{digest}}{% endif %}", &value[0]), "sha256:a\n");
    }

    #[test]
    fn template_escapes_foreign_text() {
        let value = json!({"a": "\u{1b}[2J\n", "l": ["x\n", "y"], "n": null, "s": 61_500_000, "o": {"k": ["\u{9b}"]}});
        assert_eq!(render("{{a}}|{{n}}|", &value), "\\u{1b}[2J\\n||\n");
        assert_eq!(render("{{l | join('\\n')}}", &value), "x\\n\ny\n");
        assert_eq!(render("{{o | tojson}}", &value), "{\"k\":[\"\\u009b\"]}\n");
        assert_eq!(render("{{s | filesizeformat}}", &value), "61.5 MB\n");
    }

    #[test]
    fn template_error_names_the_fields() {
        let error = Template::parse("{{digest}} {{Layers}}", "").unwrap();
        let error = error.render(&json!({"digest": "a", "layers": []})).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.reason(), "undefined value `Layers`");
        assert_eq!(error.hint(), Some("use one of the fields: digest, layers"));
        let nested = Template::parse("{{config.env}}", "").unwrap();
        let error = nested.render(&json!({"config": {"Env": [], "Cmd": []}})).unwrap_err();
        assert_eq!(error.reason(), "undefined value `config.env`");
        assert_eq!(error.hint(), Some("use one of the fields of `config`: Env, Cmd"));
        for broken in ["{{digest", "{{ | }}", "{% for x in y %}", "{{digest | nofilter}}"] {
            let failed =
                Template::parse(broken, "").and_then(|own| own.render(&json!({"digest": 1})));
            assert_eq!(failed.unwrap_err().kind(), ErrorKind::InvalidInput, "{broken}");
        }
    }

    #[test]
    fn template_with_unknown_field_is_rejected_before_change() {
        for (verb, text, field) in [
            ("rm", "{{reference}} {{nope}}", "undefined value `nope`"),
            ("push", "{{digset}}", "undefined value `digset`"),
        ] {
            let error = Template::parse(text, verb).unwrap_err();
            assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidInput, field));
            assert!(error.hint().unwrap().contains("reference, "), "{:?}", error.hint());
        }
        for text in
            ["{{error.kind}}", "{% for b in blobs %}{{loop.index}} {{b.digest}}{% endfor %}"]
        {
            assert!(Template::parse(text, "push").is_ok(), "{text}");
        }
        assert!(Template::parse("{{nope}}", "inspect").is_ok(), "known once it has run");
        assert!(
            is_template("{{a}}") && is_template("{% if a %}x{% endif %}") && !is_template("oci")
        );
    }
}
