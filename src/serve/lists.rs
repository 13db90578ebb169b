//! Paginated lists: tags, repositories, referrers. Spec: distribution-spec "Content Discovery".

use hyper::header::{CONTENT_TYPE, HeaderName, LINK};
use serde_json::json;
use url::form_urlencoded;

use super::RegistryService;
use super::query::QueryParams;
use super::response::{ApiError, ApiResponse, set, with_json};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::DOCUMENT_LIMIT;
use crate::media::MediaType;

/// Names the filters that were applied to a list of referrers.
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Default and maximum number of entries in a page.
const PAGE_SIZE: usize = 1000;

/// One page of a sorted list, and the start of the next one.
struct ListPage<T> {
    entries: Vec<T>,
    next: Option<String>,
}

/// Returns up to the requested number of entries after `last`.
fn page<T>(
    entries: impl Iterator<Item = T>,
    key: impl Fn(&T) -> &str,
    query: &QueryParams,
) -> Result<ListPage<T>, ApiError> {
    let limit = query.limit()?.unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
    let last = query.get("last");
    let mut rest =
        entries.skip_while(|entry| last.is_some_and(|last| key(entry) <= last)).peekable();
    let entries: Vec<T> = rest.by_ref().take(limit).collect();
    let has_more = rest.peek().is_some();
    let next = entries.last().filter(|_| has_more).map(|entry| key(entry).to_owned());
    Ok(ListPage { entries, next })
}

/// Sets the `Link` header to the next page, with the same path and parameters.
fn set_next_link(
    response: &mut ApiResponse,
    path: &str,
    next: Option<String>,
    query: &QueryParams,
) {
    let Some(next) = next else { return };
    let repeated = ["artifactType", "n"].into_iter().filter_map(|key| Some((key, query.get(key)?)));
    let parameters = repeated.chain([("last", next.as_str())]);
    let parameters =
        form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    set(response, LINK, format!("<{path}?{parameters}>; rel=\"next\""));
}

/// Shortens a page to the maximum size of a manifest, because clients read no more than that.
fn limit_page_bytes(page: &mut ListPage<&Descriptor>) {
    let mut bytes = 0;
    let fits = |entry: &&&Descriptor| {
        bytes += serde_json::to_vec(entry).map_or(0, |text| text.len() as u64);
        bytes < DOCUMENT_LIMIT - 1024
    };
    let fitting = page.entries.iter().take_while(fits).count().max(1);
    if fitting < page.entries.len() {
        page.entries.truncate(fitting);
        page.next = page.entries.last().map(|entry| entry.digest.to_string());
    }
}

impl RegistryService {
    /// `tags/list`: the tags of a repository, sorted.
    pub(super) fn tags(
        &self,
        repository: &str,
        query: &QueryParams,
    ) -> Result<ApiResponse, ApiError> {
        let names = self.names()?;
        let tags = self
            .served_repository(&names, repository)?
            .into_iter()
            .flat_map(|served| served.tags.keys());
        tag_list(repository, tags, query)
    }

    /// `_catalog`: the repositories with named images, sorted.
    pub(super) fn catalog(&self, query: &QueryParams) -> Result<ApiResponse, ApiError> {
        let names = self.names()?;
        let page = page(names.repositories.keys(), |name| name, query)?;
        let mut response = with_json(&json!({ "repositories": page.entries }));
        set_next_link(&mut response, "/v2/_catalog", page.next, query);
        Ok(response)
    }

    /// `referrers`: an empty list for a subject without referrers, and for an unknown one.
    pub(super) async fn referrers(
        &self,
        repository: &str,
        subject: &Digest,
        query: &QueryParams,
    ) -> Result<ApiResponse, ApiError> {
        let names = self.names()?;
        let documents = match names.repositories.get(repository) {
            Some(served) => self.documents.reachable(&self.layout, served).await,
            None => Vec::new(),
        };
        let found = documents
            .iter()
            .filter(|info| info.subject.as_ref() == Some(subject))
            .map(|info| &info.descriptor);
        referrer_list(repository, subject, found, query)
    }
}

/// Answers with a page of sorted tags.
pub(super) fn tag_list<'a>(
    repository: &str,
    tags: impl Iterator<Item = &'a String>,
    query: &QueryParams,
) -> Result<ApiResponse, ApiError> {
    let page = page(tags, |tag| tag, query)?;
    let mut response = with_json(&json!({ "name": repository, "tags": page.entries }));
    set_next_link(&mut response, &format!("/v2/{repository}/tags/list"), page.next, query);
    Ok(response)
}

/// Answers with a page of referrers.
pub(super) fn referrer_list<'a>(
    repository: &str,
    subject: &Digest,
    referrers: impl Iterator<Item = &'a Descriptor>,
    query: &QueryParams,
) -> Result<ApiResponse, ApiError> {
    let artifact_type = query.get("artifactType");
    let mut found: Vec<&Descriptor> = referrers
        .filter(|referrer| {
            artifact_type.is_none_or(|artifact_type| {
                referrer.artifact_type.as_deref() == Some(artifact_type)
            })
        })
        .collect();
    found.sort_by(|a, b| a.digest.cmp(&b.digest));
    let mut page = page(found.into_iter(), |referrer| referrer.digest.as_str(), query)?;
    limit_page_bytes(&mut page);
    let mut response = with_json(&json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX.as_str(),
        "manifests": page.entries,
    }));
    set(&mut response, CONTENT_TYPE, MediaType::OCI_INDEX.as_str());
    if artifact_type.is_some() {
        set(&mut response, FILTERS, "artifactType");
    }
    let path = format!("/v2/{repository}/referrers/{subject}");
    set_next_link(&mut response, &path, page.next, query);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(parameters: &str) -> (Vec<char>, Option<String>) {
        let query = QueryParams::from_uri(&format!("/x?{parameters}").parse().unwrap());
        let letters = ["a", "b", "c", "d"];
        let page = page(letters.iter(), |letter| letter, &query).unwrap();
        (page.entries.iter().map(|text| text.chars().next().unwrap()).collect(), page.next)
    }

    #[test]
    fn list_pages_follow_n_and_last() {
        assert_eq!(pages(""), (vec!['a', 'b', 'c', 'd'], None));
        assert_eq!(pages("n=2"), (vec!['a', 'b'], Some("b".into())));
        assert_eq!(pages("n=2&last=b"), (vec!['c', 'd'], None));
        assert_eq!(pages("n=0"), (vec![], None));
        assert_eq!(pages("n=9&last=bb"), (vec!['c', 'd'], None));
        assert_eq!(pages("last=z"), (vec![], None));
        for bad in ["n=-1", "n=x", "n=99999999999999999999999"] {
            let query = QueryParams::from_uri(&format!("/x?{bad}").parse().unwrap());
            assert!(page(["a"].into_iter(), |one| one, &query).is_err(), "{bad}");
        }
    }

    #[test]
    fn list_link_repeats_query() {
        let query = QueryParams::from_uri(&"/x?n=2&artifactType=a/b%2Bc".parse().unwrap());
        let mut response = with_json(&json!({}));
        set_next_link(&mut response, "/v2/r/tags/list", Some("b".into()), &query);
        let expected = "</v2/r/tags/list?artifactType=a%2Fb%2Bc&n=2&last=b>; rel=\"next\"";
        assert_eq!(response.headers()[LINK], expected);
    }
}
