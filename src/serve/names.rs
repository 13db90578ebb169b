//! Names of the layout as repositories with tags.
//!
//! `localhost/team/app:1` is tag `1` of `team/app`: so what is pushed here is kept, and podman calls local images alike.
//! Images of other registries have the registry in front: `docker.io/library/alpine`, `reg.local_5000/team/app`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::route::Named;
use crate::error::Result;
use crate::layout::{Entry, Layout, Version};
use crate::reference::Reference;

/// The registry of names that were pushed here.
const HERE: &str = "localhost";

/// What has a name, and can be asked for.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) repositories: BTreeMap<String, Repository>,
    /// Names that no path can be made of.
    pub(super) left_out: usize,
}

/// The named images of one repository.
#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) tags: BTreeMap<String, Image>,
    /// Those that were put by digest.
    pub(super) untagged: Vec<Image>,
}

/// An image, and what the layout calls it.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) entry: Entry,
}

impl Repository {
    pub(super) fn images(&self) -> impl Iterator<Item = &Image> {
        self.tags.values().chain(&self.untagged)
    }
}

impl Names {
    fn of(entries: Vec<Entry>) -> Self {
        let mut names = Self::default();
        for entry in entries {
            let Some(name) = entry.names.first().cloned() else { continue };
            let Some((path, part)) = served(&name) else {
                names.left_out += 1;
                continue;
            };
            let repository = names.repositories.entry(path).or_default();
            let image = Image { name, entry };
            match part {
                // What was pushed here goes before what another registry's name looks like.
                Named::Tag(tag) if image.name.starts_with("localhost/") => {
                    repository.tags.insert(tag, image);
                }
                Named::Tag(tag) => {
                    repository.tags.entry(tag).or_insert(image);
                }
                Named::Digest(_) => repository.untagged.push(image),
            }
        }
        names
    }
}

/// Repository and tag or digest of a name; `None` where no client could ask for it.
fn served(name: &str) -> Option<(String, Named)> {
    let reference: Reference = name.parse().ok()?;
    // A short name is nobody's but the layout's.
    if reference.to_string() != name {
        return None;
    }
    let path = path_of(reference.registry(), reference.repository());
    let named = match (reference.tag(), reference.digest()) {
        (Some(tag), None) => Named::Tag(tag.to_owned()),
        (None, Some(digest)) => Named::Digest(digest.clone()),
        _ => return None,
    };
    crate::reference::is_repository(&path).then(|| (path.into_owned(), named))
}

/// Where the repository of a registry is served.
pub(super) fn path_of<'a>(registry: &str, repository: &'a str) -> Cow<'a, str> {
    match registry {
        HERE => repository.into(),
        other => format!("{}/{repository}", other.replacen(':', "_", 1)).into(),
    }
}

/// What the layout is to call an image that comes to this repository.
pub(super) fn layout_name(repository: &str, named: &Named) -> String {
    let first = repository.split('/').next().unwrap_or_default();
    let registry = if first.contains('.') && first != repository { "" } else { "localhost/" };
    match named {
        Named::Tag(tag) => format!("{registry}{repository}:{tag}"),
        Named::Digest(digest) => format!("{registry}{repository}@{digest}"),
    }
}

/// The names of a layout, read again when somebody changed them.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Option<(Version, Arc<Names>)>>);

impl Known {
    pub(super) fn of(&self, layout: &Layout) -> Result<Arc<Names>> {
        // Before reading: a change in between is seen by the next request.
        let version = layout.version()?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, names)) = known.as_ref()
            && *of == version
        {
            return Ok(Arc::clone(names));
        }
        let names = Arc::new(Names::of(layout.entries()?));
        *known = Some((version, Arc::clone(&names)));
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_and_paths_names() {
        let path = |name| served(name).map(|(path, _)| path);
        assert_eq!(path("localhost/team/app:1").as_deref(), Some("team/app"));
        assert_eq!(path("docker.io/library/alpine:3").as_deref(), Some("docker.io/library/alpine"));
        assert_eq!(path("reg.local:5000/a:1").as_deref(), Some("reg.local_5000/a"));
        for none in ["1.0", "alpine", "alpine:3", "[::1]:5000/a:1", "", "x y"] {
            assert_eq!(path(none), None, "{none}");
        }
        let tag = Named::Tag("1".into());
        assert_eq!(layout_name("team/app", &tag), "localhost/team/app:1");
        assert_eq!(layout_name("docker.io/library/a", &tag), "docker.io/library/a:1");
        assert_eq!(layout_name("a.b", &tag), "localhost/a.b:1");
        for repository in ["team/app", "docker.io/library/a", "a.b", "a_5000/b", "localhost/x"] {
            let back = served(&layout_name(repository, &tag));
            assert_eq!(back, Some((repository.to_owned(), tag.clone())), "{repository}");
        }
    }
}
