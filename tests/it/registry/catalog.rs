//! `catalog`, and pagination links that lead nowhere.

use serde_json::json;

use super::{hex, list};
use crate::support::cli::Cli;
use crate::support::http::{Reply, Server};

#[tokio::test]
async fn catalog_follows_pages_and_lists_names_once() {
    let server = Server::start(|request| match request.query.as_str() {
        "n=1000" => Reply::json(200, &json!({"repositories": ["a", "b/c", "a", "\u{1b}[2J"]}))
            .header("Link", "</v2/_catalog?last=b>; rel=\"next\""),
        "last=b" => Reply::json(200, &json!({"repositories": ["d", null, ""]}))
            .header("Link", "<?last=d>; rel=next"),
        _ => Reply::json(200, &json!({"repositories": null})),
    })
    .await;
    let (cli, host) = (Cli::new(), server.host());
    let output = cli.run(&["catalog", &host]).await;
    assert_eq!(output.expect(0, "").stdout, "a\nb/c\n\\u{1b}[2J\nd\n");
    let listed = cli.json(&["catalog", "--json", &host]).await;
    let names = json!(["a", "b/c", "\u{1b}[2J", "d"]);
    assert_eq!(listed, json!({"registry": host, "repositories": names}));
}

#[tokio::test]
async fn pagination_link_to_itself_or_other_host_is_refused() {
    for (link, code, words) in [
        ("<?n=1000>; rel=next", 5, "the pages of the list never end"),
        ("<https://evil.example/v2/_catalog>; rel=next", 6, "points to another host"),
    ] {
        let server = Server::start(move |request| {
            let reply = if request.path.contains("/referrers/") {
                list("1", "a/b")
            } else {
                Reply::json(200, &json!({"repositories": ["a"]}))
            };
            reply.header("Link", link)
        })
        .await;
        let (cli, host) = (Cli::new(), server.host());
        cli.run(&["--retries", "0", "catalog", &host]).await.expect(code, words);
        let image = format!("{host}/app@{}", hex('0'));
        cli.run(&["--retries", "0", "referrers", &image]).await.expect(code, words);
    }
}
