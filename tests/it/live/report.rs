//! Pages of `report` in Chromium: mouse, keyboard, layout, and that they load and complain of nothing.

use serde_json::json;

use crate::cli::analyze::{built, published, wasteful};
use crate::support::browser::{Browser, PROGRAM};
use crate::support::cli::Cli;
use crate::support::images::{gzip, random_blob};
use crate::support::live::needs;
use crate::support::tar_item::{TarItem, tar};

const TILES: &str = "[...document.querySelectorAll('.map > .tile')]";

/// The page of some images in a browser.
async fn opened(cli: &Cli, images: &[&str], width: u32) -> Browser {
    cli.run(&[&["report", "-o", "page.html"], images].concat()).await.expect(0, "");
    let mut browser = Browser::start(width);
    browser.open(&cli.dir().join("page.html"));
    browser.wait("document.querySelectorAll('.map > .tile').length > 0");
    browser
}

pub(super) fn assert_quiet(browser: &mut Browser) {
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
    let requests = browser.requests();
    assert!(requests.iter().all(|url| url.starts_with("file:///")), "{requests:?}");
    assert_eq!(requests.len(), 1, "{requests:?}");
}

#[tokio::test]
async fn report_page_is_used_by_mouse_and_keyboard() {
    if !needs("report_page_is_used_by_mouse_and_keyboard", &[PROGRAM]) {
        return;
    }
    let (_registry, name) = published(&wasteful()).await;
    let cli = Cli::new();
    let mut browser = opened(&cli, &[&name], 1200).await;
    let layer = "document.querySelector('.steps [aria-current]').dataset.layer";
    assert_eq!(browser.eval(layer), "0", "the largest");

    browser.click("document.querySelectorAll('.steps a')[2]");
    browser.wait(&format!("{layer} === '2'"));
    browser.wait("document.querySelector('.status').textContent.startsWith('Layer 2, /')");
    browser.click("document.querySelectorAll('.steps a')[0]");
    browser.wait(&format!("{layer} === '0'"));

    let find = format!("{TILES}.find((tile) => tile.textContent.startsWith('opt/'))");
    // The name of the directory, above the files that are drawn in it.
    browser.eval(&format!("{find}.focus()"));
    browser.press("Enter", 13);
    let place = "document.querySelector('.where nav').textContent";
    browser.wait(&format!("{place} === 'layer 0opt'"));
    browser.wait(&format!("{TILES}.includes(document.activeElement)"));
    assert_eq!(browser.eval("document.activeElement.querySelector('b').textContent"), "big");
    browser.press("ArrowRight", 39);
    browser.wait("document.activeElement.textContent.startsWith('old/')");
    browser.wait("document.querySelector('.status').textContent.includes('/opt/old in 2 files')");
    browser.press("Enter", 13);
    browser.wait(&format!("{place} === 'layer 0optold'"));
    browser.press("Escape", 27);
    browser.wait(&format!("{place} === 'layer 0opt'"));
    browser.wait("document.activeElement.textContent.startsWith('old/')");
    browser.press("Backspace", 8);
    browser.wait(&format!("{place} === 'layer 0'"));
    browser.wait("document.activeElement.textContent.startsWith('opt/')");

    browser.click(&format!("{TILES}.find((tile) => tile.textContent.startsWith('opt/'))"));
    browser.wait(&format!("{place} === 'layer 0opt'"));
    browser.eval("history.back()");
    browser.wait(&format!("{place} === 'layer 0'"));
    assert_eq!(browser.eval("document.querySelectorAll('.wasted.tile').length > 0"), json!(true));
    assert_quiet(&mut browser);
}

#[tokio::test]
async fn report_treemap_areas_are_proportional_and_disjoint() {
    if !needs("report_treemap_areas_are_proportional_and_disjoint", &[PROGRAM]) {
        return;
    }
    let (_registry, name) = published(&wasteful()).await;
    let cli = Cli::new();
    let mut browser = opened(&cli, &[&name], 390).await;
    let check = r"(() => {
        let seed = 7;
        const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
        const faults = [];
        for (let round = 0; round < 300; round += 1) {
            const count = 1 + Math.floor(random() * 60);
            const areas = Array.from({ length: count }, () => Math.ceil(10 ** (random() * 9)));
            areas.sort((a, b) => b - a);
            const [width, height] = [50 + random() * 1400, 50 + random() * 900];
            const places = squarify(areas, 10, 20, width, height);
            const sum = areas.reduce((a, b) => a + b);
            places.forEach((place, at) => {
                const expected = (areas[at] / sum) * width * height;
                const error = Math.abs(place.width * place.height - expected);
                if (error > 1e-6 * width * height) faults.push('area ' + round);
                if (place.x < 10 - 1e-6 || place.y < 20 - 1e-6) faults.push('outside ' + round);
                if (place.x + place.width > 10 + width + 1e-6) faults.push('right ' + round);
                if (place.y + place.height > 20 + height + 1e-6) faults.push('below ' + round);
                places.slice(0, at).forEach((other) => {
                    const overlap = (a, b, c, d) => Math.min(a + b, c + d) - Math.max(a, c) > 1e-6;
                    if (overlap(place.x, place.width, other.x, other.width)
                        && overlap(place.y, place.height, other.y, other.height)) faults.push('overlap ' + round);
                });
            });
        }
        return faults.slice(0, 5).concat(squarify([0, 0], 0, 0, 5, 5).map((p) => p.width).filter((w) => w > 0));
    })()";
    assert_eq!(browser.eval(check), json!([]));
    let width = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.eval(width), json!(true), "nothing is wider than a phone");
    assert_quiet(&mut browser);
}

#[tokio::test]
async fn report_page_of_hostile_names_runs_no_foreign_script() {
    if !needs("report_page_of_hostile_names_runs_no_foreign_script", &[PROGRAM]) {
        return;
    }
    let evil = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>";
    let layer = gzip(&tar(&[
        TarItem::file(format!("{evil}/\u{202e}\u{1b}x"), random_blob(3000, 1)),
        TarItem::file("javascript:alert(1)", random_blob(2000, 2)),
        TarItem::file("__proto__/constructor", random_blob(1000, 3)),
    ]));
    let image = built(&[(&format!("RUN {evil}"), layer)]);
    let (_registry, name) = published(&image).await;
    let cli = Cli::new();
    let mut browser = opened(&cli, &[&name, &name], 820).await;
    assert_ne!(browser.eval("document.title"), "owned");
    assert_eq!(browser.eval("document.images.length + document.scripts.length"), 2);
    let names = browser.eval(&format!("{TILES}.map((tile) => tile.textContent).join()"));
    assert!(names.as_str().unwrap().contains("script><script>document.title='owned'<"), "{names}");
    browser.eval(&format!("{TILES}[0].click()"));
    browser.wait("location.hash.startsWith('#files-0-0-')");
    assert_quiet(&mut browser);
}
