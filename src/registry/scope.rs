//! Scopes of a token: `repository:<name>:<action>,…`. Spec: distribution `spec/auth/scope.md`.

use std::collections::{BTreeMap, BTreeSet};

/// The action that includes all others.
const ALL: &str = "*";

/// A set of scopes, each resource once.
///
/// Never send two strings for one repository: on GitLab the weaker one overrides (GoogleContainerTools/kaniko#181).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ScopeSet {
    /// Actions by `type:name`. A scope in another format is stored verbatim, without actions.
    resources: BTreeMap<String, BTreeSet<String>>,
}

impl ScopeSet {
    /// Reading from one repository.
    pub(super) fn pull(repository: &str) -> Self {
        let mut set = Self::default();
        set.add(&format!("repository:{repository}:pull"));
        set
    }

    /// Reading from and writing to one repository.
    pub(super) fn push(repository: &str) -> Self {
        let mut set = Self::default();
        set.add(&format!("repository:{repository}:pull,push"));
        set
    }

    /// Deleting from one repository. Some servers have no `delete` (Quay needs `push` for it); `*` covers them.
    pub(super) fn delete(repository: &str) -> Self {
        let mut set = Self::default();
        set.add(&format!("repository:{repository}:*"));
        set
    }

    /// Listing the repositories of a registry.
    pub(super) fn catalog() -> Self {
        let mut set = Self::default();
        set.add("registry:catalog:*");
        set
    }

    /// Adds pulling from a second repository, which a mount needs.
    pub(super) fn and_pull(&self, repository: &str) -> Self {
        let mut set = self.clone();
        set.add(&format!("repository:{repository}:pull"));
        set
    }

    /// The scopes in a challenge, separated by spaces.
    pub(super) fn parse(scope: &str) -> Self {
        let mut set = Self::default();
        scope.split_ascii_whitespace().for_each(|one| set.add(one));
        set
    }

    /// Adds the scopes of a challenge. They replace a guessed `*` for the same resource.
    pub(super) fn merge_challenge(&mut self, scope: &str) {
        for (resource, parse) in Self::parse(scope).resources {
            let actions = self.resources.entry(resource).or_default();
            if actions.contains(ALL) {
                actions.clear();
            }
            actions.extend(parse);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Whether it may request more than is needed.
    pub(super) fn is_guess(&self) -> bool {
        let mut all = self.resources.iter().filter(|(_, actions)| actions.contains(ALL));
        all.any(|(resource, _)| resource.starts_with("repository:"))
    }

    /// One string per resource, resources and actions sorted, as token servers expect.
    pub(super) fn to_params(&self) -> Vec<String> {
        let text = |(resource, actions): (&String, &BTreeSet<String>)| {
            if actions.is_empty() {
                return resource.clone();
            }
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        };
        self.resources.iter().map(text).collect()
    }

    /// The repository of the scopes; the first of several.
    pub(super) fn repository(&self) -> Option<&str> {
        self.resources.keys().find_map(|resource| resource.strip_prefix("repository:"))
    }

    /// The actions follow the last colon: a name may contain colons (`host:5000/name`).
    fn add(&mut self, scope: &str) {
        let (resource, listed) = match scope.rsplit_once(':') {
            Some((resource, listed)) if resource.contains(':') => (resource, listed),
            _ => {
                self.resources.entry(scope.to_owned()).or_default();
                return;
            }
        };
        let mut listed = listed.split(',').filter(|action| !action.is_empty()).peekable();
        if listed.peek().is_none() {
            return;
        }
        let actions = self.resources.entry(resource.to_owned()).or_default();
        actions.extend(listed.map(str::to_owned));
        if actions.contains(ALL) {
            actions.retain(|action| action == ALL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(scopes: &str) -> Vec<String> {
        let mut set = ScopeSet::default();
        set.merge_challenge(scopes);
        set.to_params()
    }

    #[test]
    fn scope_merges_actions_per_resource() {
        let cases: &[(&str, &[&str])] = &[
            ("repository:foo:push,pull,delete", &["repository:foo:delete,pull,push"]),
            ("repository:foo:pull,*,push repository:foo:delete", &["repository:foo:*"]),
            (
                "repository:foo:pull  repository:bar:push",
                &["repository:bar:push", "repository:foo:pull"],
            ),
            ("registry:catalog:* registry:catalog:pull", &["registry:catalog:*"]),
            ("repository:h:5000/a:pull", &["repository:h:5000/a:pull"]),
            // No request without actions. Text that is no scope is up to the server.
            ("repository:foo:, no:actions:", &[]),
            (
                "unknown invalid:scope repository:a:pull",
                &["invalid:scope", "repository:a:pull", "unknown"],
            ),
        ];
        for (scopes, expected) in cases {
            assert_eq!(merged(scopes), *expected, "{scopes}");
        }
    }

    #[test]
    fn scope_of_challenge_is_added() {
        let mut set = ScopeSet::pull("library/alpine");
        assert_eq!(set.repository(), Some("library/alpine"));
        let same = set.clone();
        set.merge_challenge("repository:library/alpine:pull");
        assert_eq!(set, same);
        set.merge_challenge("repository:library/alpine:push,pull");
        assert_eq!(set.to_params(), ["repository:library/alpine:pull,push"]);
    }
}
