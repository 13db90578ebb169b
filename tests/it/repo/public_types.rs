//! Public types can get more fields and variants without breaking who uses them, and options are set by chained calls.

use std::path::{Path, PathBuf};

use super::sources;

/// `(type, why nothing can be added to it)`.
const COMPLETE: &[(&str, &str)] = &[
    ("BlobPresence", "callers must handle each answer"),
    ("Device", "a major and a minor number"),
    ("NoProgress", "has no fields, so that it is a value of its own name"),
    ("Presence", "yes, no, or not known"),
    ("Timestamp", "seconds and nanoseconds"),
];

/// `(variant with named fields, why no field can be added to it)`.
const COMPLETE_VARIANTS: &[(&str, &str)] = &[
    ("Credential::Basic", "callers create it"),
    ("Credential::IdentityToken", "callers create it"),
    ("Opened::Mounted", "backends create it"),
    ("Role::Attached", "callers of a target create it"),
    ("Role::Root", "callers of a target create it"),
];

/// Ends of the names of types whose users set fields.
const OPTIONS: &[&str] = &["Options", "Policy", "Timeouts", "Limits", "Properties"];

/// A public struct or enum at the top level of a module.
struct PublicType {
    name: String,
    is_enum: bool,
    /// Attributes and documentation.
    head: String,
    /// The lines between its braces, or the line itself if it has none.
    body: Vec<String>,
    /// Of the whole file.
    code: String,
}

impl PublicType {
    fn read_all() -> Vec<Self> {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files: Vec<PathBuf> = Vec::new();
        sources(&src, &mut files);
        // The command line is no part of the interface.
        files.retain(|file| !file.starts_with(src.join("cli")));
        files.iter().flat_map(|file| Self::read(&std::fs::read_to_string(file).unwrap())).collect()
    }

    fn read(code: &str) -> Vec<Self> {
        let lines: Vec<&str> = code.lines().collect();
        let mut found = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            let item = line.strip_prefix("pub struct ").or(line.strip_prefix("pub enum "));
            let Some(item) = item else { continue };
            let name = item.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned();
            let head = lines[..number].iter().rev().take_while(|line| !line.is_empty());
            let body = lines[number + 1..].iter().take_while(|line| **line != "}");
            let body: Vec<_> = if line.ends_with('{') {
                body.map(ToString::to_string).collect()
            } else {
                vec![(*line).to_owned()]
            };
            found.push(Self {
                name,
                is_enum: line.starts_with("pub enum "),
                head: head.copied().collect(),
                body,
                code: code.to_owned(),
            });
        }
        found
    }

    /// The names of its fields in braces, and whether they are public.
    fn fields(&self) -> impl Iterator<Item = (&str, bool)> {
        self.body.iter().filter_map(|line| {
            let field =
                line.strip_prefix("    ").filter(|line| line.starts_with(char::is_alphabetic))?;
            let (declared, _) = field.split_once(": ")?;
            let name = declared.rsplit(' ').next().unwrap();
            Some((name, declared.starts_with("pub ")))
        })
    }

    /// The variants with named fields, and whether fields can be added to them.
    fn variants(&self) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        let mut is_growing = false;
        for line in self.body.iter().filter_map(|line| line.strip_prefix("    ")) {
            match line.split_once(" {") {
                Some((variant, _)) if self.is_enum && variant.starts_with(char::is_uppercase) => {
                    found.push((format!("{}::{variant}", self.name), is_growing));
                }
                _ => {}
            }
            let is_head = line.starts_with("///") || line.starts_with("#[");
            is_growing = is_head && (is_growing || line == "#[non_exhaustive]");
        }
        found
    }

    fn can_grow(&self) -> bool {
        let is_opaque_tuple = self.body[..].first().is_some_and(|line| {
            line.starts_with("pub struct ") && line.contains('(') && !line.contains("(pub ")
        });
        let has_private_field = self.fields().any(|(_, is_public)| !is_public);
        self.head.contains("non_exhaustive")
            || (!self.is_enum && (is_opaque_tuple || has_private_field))
    }

    fn has_setter(&self, field: &str) -> bool {
        let kinds = ["value ", "value into ", "optional ", "optional into "];
        self.code.contains(&format!("        flag {field};\n"))
            || self.code.contains(&format!("pub fn {field}(mut self"))
            || kinds.iter().any(|kind| self.code.contains(&format!("        {kind}{field}: ")))
    }
}

#[test]
fn public_type_is_non_exhaustive_or_has_private_fields() {
    let types = PublicType::read_all();
    assert!(types.len() > 100);
    let closed: Vec<_> = types.iter().filter(|one| !one.can_grow()).map(|one| &*one.name).collect();
    for name in &closed {
        let is_listed = COMPLETE.iter().any(|(listed, _)| listed == name);
        assert!(is_listed, "{name} cannot grow: add #[non_exhaustive], or say here why not");
    }
    for (listed, _) in COMPLETE {
        assert!(closed.contains(listed), "{listed} can grow, or does not exist any more");
    }
}

#[test]
fn public_variant_with_fields_is_non_exhaustive_or_complete() {
    let variants: Vec<_> = PublicType::read_all().iter().flat_map(PublicType::variants).collect();
    assert!(variants.len() > 10, "{variants:?}");
    for (name, can_grow) in &variants {
        let is_listed = COMPLETE_VARIANTS.iter().any(|(listed, _)| listed == name);
        assert!(
            *can_grow != is_listed,
            "{name}: either add #[non_exhaustive], or say here why it cannot grow"
        );
    }
    for (listed, _) in COMPLETE_VARIANTS {
        assert!(
            variants.iter().any(|(name, _)| name == listed),
            "{listed} does not exist any more"
        );
    }
}

#[test]
fn public_options_have_a_setter_for_each_field() {
    let types = PublicType::read_all();
    let is_options = |one: &&PublicType| OPTIONS.iter().any(|end| one.name.ends_with(end));
    let mut count = 0;
    for options in types.iter().filter(is_options) {
        for (field, _) in options.fields().filter(|(_, is_public)| *is_public) {
            assert!(options.has_setter(field), "{}::{field} has no setter", options.name);
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn crate_documentation_lists_every_public_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let code = std::fs::read_to_string(root).unwrap();
    let modules = code.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let list: Vec<_> = code.lines().filter(|line| line.starts_with("//! - ")).collect();
    for module in modules {
        let is_listed = ["`", "@"]
            .iter()
            .any(|quote| list.iter().any(|line| line.contains(&format!("{quote}{module}`"))));
        assert!(is_listed, "{module} is not in the list of modules");
    }
}
