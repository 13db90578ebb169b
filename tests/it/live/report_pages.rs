//! Pages about the store, the ledger and two images in Chromium, and what screen readers are told of every page.

use serde_json::json;

use super::report::assert_quiet;
use crate::cli::analyze::{built, published, wasteful};
use crate::support::browser::{Browser, PROGRAM};
use crate::support::cli::Cli;
use crate::support::fake_registry::FakeRegistry;
use crate::support::images::{gzip, random_blob};
use crate::support::live::needs;
use crate::support::tar_item::{TarItem, tar};

/// Roles whose elements say nothing without a name.
const NAMED: [&str; 9] = [
    "image",
    "table",
    "region",
    "heading",
    "button",
    "link",
    "navigation",
    "rowheader",
    "columnheader",
];

/// A store with two images that share layers, and their names.
async fn filled() -> (FakeRegistry, Cli, [String; 2]) {
    let (registry, name) = published(&wasteful()).await;
    let top = gzip(&tar(&[
        TarItem::file("opt/new/large", random_blob(90_000, 1)),
        TarItem::file("opt/new/small", random_blob(9_000, 2)),
        TarItem::file("srv/data", random_blob(40_000, 3)),
    ]));
    built(&[("COPY . /", top)]).publish(&registry, "team/app", Some("2"));
    let (cli, other) = (Cli::new(), registry.repository("team/app:2"));
    for image in [&name, &other] {
        cli.run(&[image]).await.expect(0, "");
    }
    (registry, cli, [name, other])
}

/// The page that a command writes, in a browser of this width.
async fn opened(cli: &Cli, command: &[&str], width: u32) -> Browser {
    cli.run(&[command, &["-o", "page.html"]].concat()).await.expect(0, "");
    let mut browser = Browser::start(width);
    browser.open(&cli.dir().join("page.html"));
    browser
}

/// Opens the table behind a picture with a click on its summary.
fn open_table(browser: &mut Browser, summary: &str, row: &str) {
    let find = format!(
        "[...document.querySelectorAll('summary')].find((one) => one.textContent === '{summary}')"
    );
    assert_eq!(browser.eval(&format!("{find}.parentElement.open")), json!(false), "{summary}");
    browser.click(&find);
    browser.wait(&format!("{find}.parentElement.open"));
    let rows = format!("{find}.parentElement.querySelector('tbody').textContent");
    let rows = browser.eval(&rows);
    assert!(rows.as_str().unwrap().contains(row), "{summary}: {rows}");
}

fn assert_accessible(browser: &mut Browser, pictures: usize) {
    browser.eval("document.querySelectorAll('details').forEach((one) => { one.open = true; })");
    let nodes = browser.accessible();
    for (role, name) in &nodes {
        assert!(!NAMED.contains(&role.as_str()) || !name.trim().is_empty(), "{role}: {nodes:?}");
    }
    let images = nodes.iter().filter(|(role, _)| role == "image").count();
    assert!(images >= pictures, "{images} pictures");
    let tables = nodes.iter().filter(|(role, _)| role == "table").count();
    let (elements, shown) = ("document.querySelectorAll('table').length", json!(tables));
    assert_eq!(browser.eval(elements), shown, "tables");
    assert_eq!(browser.eval("document.querySelectorAll('h1').length"), 1);
}

fn assert_fits(browser: &mut Browser) {
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.eval(fits), json!(true), "nothing is wider than the screen");
}

#[tokio::test]
async fn store_page_shows_images_and_their_numbers() {
    if !needs("store_page_shows_images_and_their_numbers", &[PROGRAM]) {
        return;
    }
    let (_registry, cli, names) = filled().await;
    let mut browser = opened(&cli, &["report", "--store"], 390).await;
    open_table(&mut browser, "Images as a table", &names[0]);
    open_table(&mut browser, "The store as a table", "shared by images");
    assert_accessible(&mut browser, 3);
    assert_fits(&mut browser);
    browser.darken();
    assert_eq!(browser.eval("matchMedia('(prefers-color-scheme: dark)').matches"), json!(true));
    assert_quiet(&mut browser);
}

#[tokio::test]
async fn stats_page_shows_days_and_repositories() {
    if !needs("stats_page_shows_days_and_repositories", &[PROGRAM]) {
        return;
    }
    let (_registry, cli, _) = filled().await;
    let mut browser = opened(&cli, &["report", "--stats"], 820).await;
    let bars = browser.eval("document.querySelectorAll('.chart rect').length");
    assert!(bars.as_u64().unwrap() > 0);
    open_table(&mut browser, "Days as a table", "20");
    open_table(&mut browser, "Repositories as a table", "team/app");
    assert_accessible(&mut browser, 1);
    assert_fits(&mut browser);
    assert_quiet(&mut browser);
}

#[tokio::test]
async fn diff_page_opens_directories_of_differing_files() {
    if !needs("diff_page_opens_directories_of_differing_files", &[PROGRAM]) {
        return;
    }
    let (_registry, cli, [a, b]) = filled().await;
    let mut browser = opened(&cli, &["diff", "--files", &a, &b], 1440).await;
    browser.wait("document.querySelectorAll('.map > .tile').length > 0");
    let tile = "[...document.querySelectorAll('.map > .tile')]\
                .find((tile) => tile.textContent.startsWith('opt/'))";
    browser.click(&format!("{tile}.querySelector('b')"));
    let place = "document.querySelector('.where nav').textContent";
    browser.wait(&format!("{place} === 'files that differopt'"));
    browser
        .wait("document.querySelector('.map').ariaLabel.startsWith('Files that differ in /opt')");
    browser.press("Escape", 27);
    browser.wait(&format!("{place} === 'files that differ'"));
    open_table(&mut browser, "Files as a table", "srv/");
    open_table(&mut browser, "Layers as a table", "COPY");
    assert_accessible(&mut browser, 2);
    assert_fits(&mut browser);
    assert_quiet(&mut browser);
}

#[tokio::test]
async fn page_of_two_images_names_everything_for_screen_readers() {
    if !needs("page_of_two_images_names_everything_for_screen_readers", &[PROGRAM]) {
        return;
    }
    let (_registry, cli, [a, b]) = filled().await;
    let mut browser = opened(&cli, &["report", &a, &b], 820).await;
    assert_accessible(&mut browser, 4);
    let groups = browser.accessible().into_iter().filter(|(role, _)| role == "group");
    let maps: Vec<_> = groups.filter(|(_, name)| name.starts_with("Files of layer")).collect();
    assert_eq!(maps.len(), 2, "{maps:?}");
    assert_quiet(&mut browser);
}
