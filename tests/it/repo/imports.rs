//! Reads which modules a source file names: in `use` trees, by `super::` and `self::`, through names that were brought
//! into scope, and by whole paths in its code.

use std::collections::{BTreeMap, BTreeSet};

/// Segments of a path; `crate` first where it is one of this crate.
pub(super) type Path = Vec<String>;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Colons,
    Mark(char),
}

/// A name that a `use` brings into scope.
pub(super) struct Use {
    pub(super) path: Path,
    pub(super) name: String,
    /// Whether others see it too: then it is an item of this module that another one defines.
    pub(super) is_public: bool,
}

/// What one file names; code for tests and for documentation alone is left out.
#[derive(Default)]
pub(super) struct Imports {
    pub(super) uses: Vec<Use>,
    /// Paths of several segments in code.
    pub(super) paths: BTreeSet<Path>,
}

impl Imports {
    /// Reads the code of the module with this path; `modules` are those of the crate.
    pub(super) fn read(code: &str, module: &[String], modules: &BTreeSet<Path>) -> Self {
        let mut reader = Reader {
            tokens: without_cfg(&tokens(code)),
            at: 0,
            module: module.to_vec(),
            modules,
            found: Self::default(),
            spelled: Vec::new(),
        };
        reader.items();
        let Reader { mut found, spelled, .. } = reader;
        let scope: BTreeMap<_, _> =
            found.uses.iter().map(|one| (one.name.clone(), one.path.clone())).collect();
        for (within, path) in spelled {
            found.paths.insert(resolve(&path, &within, modules, &scope));
        }
        found
    }

    /// All paths that the file names.
    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        self.uses.iter().map(|one| &one.path).chain(&self.paths)
    }
}

struct Reader<'a> {
    tokens: Vec<Token>,
    at: usize,
    module: Path,
    modules: &'a BTreeSet<Path>,
    found: Imports,
    /// Paths as they are written, and the module in which.
    spelled: Vec<(Path, Path)>,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.peek(ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is(&self, ahead: usize, mark: char) -> bool {
        self.peek(ahead) == Some(&Token::Mark(mark))
    }

    /// Reads to the end of the tokens, or of the module in braces.
    fn items(&mut self) {
        let (mut depth, mut is_public) = (0, false);
        while let Some(token) = self.peek(0).cloned() {
            let was_public = std::mem::take(&mut is_public);
            match token {
                Token::Word(word) if word == "pub" => {
                    is_public = true;
                    self.at += 1;
                    self.skip_restriction();
                }
                Token::Word(word) if word == "use" => {
                    self.at += 1;
                    self.use_tree(&mut Vec::new(), was_public);
                }
                Token::Word(word) if word == "mod" && self.is(2, '{') => {
                    let name = self.word(1).unwrap_or_default().to_owned();
                    self.at += 3;
                    self.module.push(name);
                    self.items();
                    self.module.pop();
                }
                Token::Word(_) => self.path(),
                Token::Mark('{') => {
                    depth += 1;
                    self.at += 1;
                }
                Token::Mark('}') => {
                    self.at += 1;
                    if depth == 0 {
                        return;
                    }
                    depth -= 1;
                }
                // A field or method is no path.
                Token::Mark('.') => {
                    self.at += 1;
                    self.at += usize::from(self.word(0).is_some());
                }
                _ => self.at += 1,
            }
        }
    }

    /// Skips `(super)` and `(in crate::x)`, which only limit who sees an item.
    fn skip_restriction(&mut self) {
        let limits = ["in", "super", "crate", "self"];
        if self.is(0, '(') && self.word(1).is_some_and(|word| limits.contains(&word)) {
            while self.at < self.tokens.len() && !self.is(0, ')') {
                self.at += 1;
            }
        }
    }

    fn path(&mut self) {
        let mut path = Vec::new();
        while let Some(word) = self.word(0) {
            path.push(word.to_owned());
            self.at += 1;
            if self.peek(0) != Some(&Token::Colons) || self.word(1).is_none() {
                break;
            }
            self.at += 1;
        }
        if path.len() > 1 {
            self.spelled.push((self.module.clone(), path));
        }
    }

    /// Reads a tree below `prefix`, to the comma, brace or semicolon that ends it.
    fn use_tree(&mut self, prefix: &mut Path, is_public: bool) {
        let before = prefix.len();
        loop {
            match self.peek(0).cloned() {
                Some(Token::Word(word)) => {
                    prefix.push(word);
                    self.at += 1;
                }
                Some(Token::Colons) => self.at += 1,
                Some(Token::Mark('*')) => {
                    prefix.push("*".to_owned());
                    self.at += 1;
                }
                Some(Token::Mark('{')) => {
                    while !self.is(0, '}') && self.at < self.tokens.len() {
                        self.at += 1;
                        self.use_tree(prefix, is_public);
                    }
                    self.at += 1;
                    prefix.truncate(before);
                    return;
                }
                _ => break,
            }
        }
        if prefix.len() > before {
            self.add_use(prefix.clone(), is_public);
        }
        prefix.truncate(before);
    }

    fn add_use(&mut self, mut path: Path, is_public: bool) {
        let mut name = None;
        if let [.., keyword, alias] = path.as_slice()
            && keyword == "as"
        {
            name = Some(alias.clone());
            path.truncate(path.len() - 2);
        }
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
        let path = resolve(&path, &self.module, self.modules, &BTreeMap::new());
        self.found.uses.push(Use { path, name, is_public });
    }
}

/// The path from the root of the crate, or of another crate.
fn resolve(
    path: &[String],
    module: &[String],
    modules: &BTreeSet<Path>,
    scope: &BTreeMap<String, Path>,
) -> Path {
    let mut base = module.to_vec();
    let mut rest = path;
    match path.first().map(String::as_str) {
        Some("crate") => return path.to_vec(),
        Some("self") => rest = &path[1..],
        Some("super") => {
            while rest.first().is_some_and(|word| word == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        Some(first) => {
            let child: Path = module.iter().cloned().chain([first.to_owned()]).collect();
            if let Some(found) = scope.get(first) {
                base.clone_from(found);
                rest = &path[1..];
            } else if !modules.contains(&child) {
                return path.to_vec();
            }
        }
        None => {}
    }
    base.extend_from_slice(rest);
    base
}

/// The tokens without items that only tests or the documentation have.
fn without_cfg(tokens: &[Token]) -> Vec<Token> {
    let word = |word: &str| Token::Word(word.to_owned());
    let gate = |what: &str| {
        let open = [Token::Mark('#'), Token::Mark('['), word("cfg"), Token::Mark('(')];
        [&open[..], &[word(what), Token::Mark(')'), Token::Mark(']')]].concat()
    };
    let gates = [gate("test"), gate("doc")];
    let (mut kept, mut at) = (Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        if gates.iter().any(|gate| tokens[at..].starts_with(gate)) {
            at = end_of_item(tokens, at + gates[0].len());
        } else {
            kept.push(token.clone());
            at += 1;
        }
    }
    kept
}

/// Behind the semicolon or the braces that end the item.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    let is_use = |token: &Token| *token == Token::Word("use".to_owned());
    let braces_end_it = !tokens[at..].iter().take(2).any(is_use);
    let mut depth = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => {
                depth -= 1;
                if depth == 0 && braces_end_it {
                    break;
                }
            }
            Token::Mark(';') if depth == 0 => break,
            _ => {}
        }
    }
    at
}

/// Words and marks; comments, strings, characters and numbers are left out.
fn tokens(code: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = literal(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            if !first.is_numeric() {
                found.push(Token::Word(rest[..end].to_owned()));
            }
            end
        } else if rest.starts_with("::") {
            found.push(Token::Colons);
            2
        } else {
            if !first.is_whitespace() {
                found.push(Token::Mark(first));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    found
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of the string, character or lifetime that the text begins with.
fn literal(text: &str) -> Option<usize> {
    let prefixed = ["br", "cr", "b", "c", "r"].into_iter().find_map(|prefix| {
        let rest = text.strip_prefix(prefix)?;
        rest.starts_with(['"', '#', '\'']).then_some(prefix)
    });
    let prefix = prefixed.unwrap_or_default();
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let body = rest[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = body.find(&end)? + end.len();
        return Some(prefix.len() + hashes + 1 + length);
    }
    let quote = rest.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    let mut chars = rest.char_indices().skip(1).peekable();
    if quote == '\'' {
        // A lifetime has no second quote.
        let mut ahead = rest[1..].chars();
        if ahead.next() != Some('\\') && ahead.next() != Some('\'') {
            return Some(prefix.len() + 1);
        }
    }
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return Some(prefix.len() + at + 1);
        }
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// What a file `transfer/engine.rs` with this code names.
    fn named(code: &str) -> Vec<String> {
        let modules = ["crate::transfer::engine::part", "crate::layout"].map(path).into();
        let imports = Imports::read(code, &path("crate::transfer::engine"), &modules);
        imports.all().map(|path| path.join("::")).collect()
    }

    #[test]
    fn imports_of_any_spelling_are_found() {
        for code in [
            "use crate::layout::X;",
            "use crate::{digest::Digest, layout::X};",
            "use crate::{\n    a::{self, B},\n    layout::{index::Y as Z, X},\n};",
            "pub(crate) use crate::layout::X as Other;",
            "use super::super::layout::X;",
            "use super::super::{layout::{X}};",
            "use crate::layout; fn f() { layout::X::new(); }",
            "use crate::layout as l; fn f() -> l::X { todo() }",
            "fn f() { crate::layout::X::new() }",
            "fn f(x: &'a crate::layout::X) {}",
            "mod inner { fn f() { super::super::super::layout::X } }",
            "#[cfg(test)] mod tests { fn f() { g(\"}\") } } use crate::layout::X;",
            "const QUOTE: char = '\"'; use crate::layout::X; const OTHER: char = '\"';",
            "const TEXT: &str = r#\"\"use\"#; use crate::layout::X;",
        ] {
            let found = named(code);
            assert!(
                found.iter().any(|path| path.starts_with("crate::layout::X")),
                "{code}: {found:?}"
            );
        }
    }

    #[test]
    fn imports_in_comments_and_strings_are_ignored() {
        for code in [
            "// use crate::layout::X;\n",
            "/* crate::layout::X /* */ crate::layout::X */",
            "const TEXT: &str = \"\\\" crate::layout::X\";",
            "const TEXT: &str = r#\" \" crate::layout::X \"#;",
            "pub(in crate::layout) fn f() {}",
            "#[cfg(test)] mod tests { use crate::layout::X; fn f() {} }",
            "#[cfg(doc)] use crate::layout::{X, Y};",
            "fn f() { self.layout.X() }",
        ] {
            let found = named(code);
            assert!(!found.iter().any(|path| path.contains("layout")), "{code}: {found:?}");
        }
    }

    #[test]
    fn imports_of_children_and_crates_are_resolved() {
        assert_eq!(named("fn f() { part::g() }"), ["crate::transfer::engine::part::g"]);
        assert_eq!(named("fn f() { reqwest::get() }"), ["reqwest::get"]);
        assert_eq!(named("use self::part::{self, g};").len(), 2);
    }
}
