//! Templates of Go, which docker, podman, skopeo and oras take: the right spelling for them.

use super::template_fields;

/// What docker and skopeo call a field, by command.
const NAMES: &[(&str, &str, &str)] = &[
    ("images", "Repository", "reference"),
    ("images", "Tag", "reference"),
    ("images", "ID", "digest"),
    ("images", "Name", "reference"),
    ("images", "Names", "reference"),
    ("images", "CreatedAt", "created"),
    ("images", "CreatedSince", "created"),
    ("history", "ID", "image"),
    ("history", "CreatedAt", "created"),
    ("history", "CreatedSince", "created"),
    ("inspect", "ID", "digest"),
    ("inspect", "Id", "digest"),
    ("inspect", "Name", "reference"),
    ("inspect", "RepoTags", "reference"),
    ("inspect", "RepoDigests", "digest"),
    ("inspect", "Architecture", "platform"),
    ("inspect", "Os", "platform"),
    ("inspect", "Labels", "config.Labels"),
    ("inspect", "Env", "config.Env"),
    ("inspect", "RootFS.Layers", "layers"),
    ("inspect", "LayersData", "layers"),
];

/// Returns the hint for a template of Go, `None` for any other.
pub(super) fn hint(text: &str, verb: &str) -> Option<String> {
    let (_, inside) = text.split_once("{{")?;
    let (inside, _) = inside.split_once("}}")?;
    let words: Vec<&str> = inside
        .split_whitespace()
        .map(|word| word.trim_matches(['-', '(', ')', '|']))
        .filter(|word| !word.is_empty())
        .collect();
    let first = words.first()?;
    if ["range", "if", "with", "end", "template"].contains(first) {
        return Some(
            "write `{% for layer in layers %}…{% endfor %}` or `{% if … %}…{% endif %}`".into(),
        );
    }
    let field = words.iter().find_map(|word| word.strip_prefix('.'))?;
    if field.is_empty() {
        return Some("use `--json`".to_owned());
    }
    Some(match (own_name(field, verb), *first) {
        (Some(name), "json") => format!("write `{{{{{name} | tojson}}}}`"),
        (Some(name), "len") => format!("write `{{{{{name} | length}}}}`"),
        (Some(name), _) => format!("write `{{{{{name}}}}}`"),
        (None, _) => match template_fields::of_verb(verb) {
            Some(fields) => {
                format!("write a field without a dot, `{{{{digest}}}}`: {}", fields.join(", "))
            }
            None => "write `{{digest}}`, without a dot; `--json` shows the fields".to_owned(),
        },
    })
}

/// Returns the field of the command that has this name in other tools.
fn own_name(field: &str, verb: &str) -> Option<String> {
    let listed = NAMES.iter().find(|(of, name, _)| *of == verb && *name == field);
    if let Some((.., own)) = listed {
        return Some((*own).to_owned());
    }
    // The config has the names that docker gives it.
    if let (Some(key), "inspect") = (field.strip_prefix("Config."), verb) {
        return Some(format!("config.{key}"));
    }
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let fields = template_fields::of_verb(verb)?;
    fields.iter().find(|own| plain(own) == plain(field)).map(|own| (*own).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_of_go_gets_the_right_spelling() {
        for (verb, text, expected) in [
            ("images", "{{.Digest}}", "write `{{digest}}`"),
            ("images", "{{.Repository}}:{{.Tag}}", "write `{{reference}}`"),
            ("images", "x {{ .ID }}", "write `{{digest}}`"),
            ("images", "{{println .CreatedSince}}", "write `{{created}}`"),
            ("history", "{{.CreatedBy}}", "write `{{created_by}}`"),
            ("history", "{{.ID}}", "write `{{image}}`"),
            ("inspect", "{{json .}}", "use `--json`"),
            ("inspect", "{{json .Config.Env}}", "write `{{config.Env | tojson}}`"),
            ("inspect", "{{index .RepoDigests 0}}", "write `{{digest}}`"),
            ("inspect", "{{(index .RepoTags 0)}}", "write `{{reference}}`"),
            ("inspect", "{{.Architecture}}", "write `{{platform}}`"),
            ("inspect", "{{.Labels}}", "write `{{config.Labels}}`"),
            ("inspect", "{{len .Layers}}", "write `{{layers | length}}`"),
            ("tags", "{{.Tags}}", "write `{{tags}}`"),
            ("tags", "{{.Digest}}", "write a field without a dot, `{{digest}}`: repository, tags"),
            ("df", "{{.Type}}", "write `{{digest}}`, without a dot; `--json` shows the fields"),
            (
                "inspect",
                "{{range .Layers}}{{.}}{{end}}",
                "write `{% for layer in layers %}…{% endfor %}` or `{% if … %}…{% endif %}`",
            ),
        ] {
            assert_eq!(hint(text, verb).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["{{digest}}", "{{config.Env | join(', ')}}", "{% if a %}{{a}}{% endif %}", "oci"]
        {
            assert_eq!(hint(text, "inspect"), None, "{text}");
        }
    }
}
