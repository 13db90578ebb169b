use sha2::{Digest as _, Sha256};

use super::limits::{AnalysisLimits, MaxWaste};
use super::*;
use crate::insight::files::ContentId;
use crate::insight::testing::{config, manifest};
use crate::layer::{Device, EntryKind, LayerEntry, Timestamp};

/// An entry: `+path` a file, `-path` a whiteout, `=path>target` a hard link; files of `~path` have mode 600.
struct Item<'a>(&'a str, Vec<u8>);

fn file(path: &str, size: usize) -> Item<'_> {
    Item(path, path.bytes().skip(1).cycle().take(size).collect())
}

fn entry(text: &str, size: usize) -> LayerEntry {
    let (kind, path) = text.split_at(1);
    let (path, link) = path.split_once('>').unwrap_or((path, ""));
    LayerEntry {
        path: path.into(),
        kind: match kind {
            "-" => EntryKind::Whiteout,
            "=" => EntryKind::Hardlink,
            _ => EntryKind::File,
        },
        mode: if kind == "~" { 0o600 } else { 0o644 },
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        size: size as u64,
        link: link.into(),
        device: Device::default(),
        xattrs: Vec::new(),
    }
}

/// Analyzes layers that these commands created.
fn analyze(layers: &[(&str, Vec<Item<'_>>)]) -> Analysis {
    let texts: Vec<String> = (0..layers.len()).map(|n| format!("layer {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let commands: Vec<&str> = layers.iter().map(|(command, _)| *command).collect();
    let (manifest, config) = (manifest(&texts), config(layers.len(), &commands));
    let mut analyzer = Analyzer::new(&manifest, &config, StoredAs::Blobs);
    let mut tree = FileTree::new().unwrap();
    let mut sizes = Vec::new();
    for (number, (_, items)) in layers.iter().enumerate() {
        for Item(text, content) in items {
            let entry = entry(text, content.len());
            let kind = entry.kind;
            tree.entry(entry).unwrap();
            if kind == EntryKind::File {
                let id = ContentId::from_sha256(&Sha256::digest(content).into());
                analyzer.head(number, id, content.len() as u64, content);
                tree.set_content(id);
            }
        }
        let changed: Result<_, std::convert::Infallible> = tree.end_layer(|change| {
            analyzer.change(number, change);
            Ok(())
        });
        analyzer.end_layer(&changed.unwrap());
        sizes.push(0);
    }
    analyzer.finish(&tree, &sizes)
}

fn found(analysis: &Analysis, rule: Rule) -> Vec<&Finding> {
    analysis.findings.iter().filter(|finding| finding.rule == rule).collect()
}

fn paths(finding: &Finding) -> Vec<(&str, u64)> {
    finding.paths.iter().map(|path| (path.path.as_str(), path.bytes)).collect()
}

fn example() -> Analysis {
    let none = |text| Item(text, Vec::new());
    analyze(&[
        (
            "ADD base /",
            vec![
                file("+a", 100),
                file("+b", 50),
                file("+d/x", 30),
                file("+d/y", 20),
                none("=ln>b"),
            ],
        ),
        ("RUN one", vec![file("+a", 80), none("-b"), file("+c", 10)]),
        ("RUN two", vec![none("-d"), file("+a", 120)]),
        ("COPY . /", vec![file("+d/x", 30), file("+ln", 5)]),
    ])
}

#[test]
fn efficiency_agrees_with_table_by_hand() {
    // path  discovered sizes            sum  smallest
    // a     100, 80, 120                300        80
    // b     50, whiteout 0               50         0
    // c     10                           10        10
    // d     whiteout of 30 + 20          50        50
    // d/x   30, again 30                 60        30
    // d/y   20                           20        20
    // ln    hard link 0, file 5           5         0
    //                                   495       190
    let analysis = example();
    assert!((analysis.efficiency - 190.0 / 495.0).abs() < 1e-12, "{}", analysis.efficiency);
    // Discovered more than once: a, b, d/x, ln.
    assert_eq!(analysis.dive.wasted_bytes, 300 + 50 + 60 + 5);
    // The layers above the base add 90, 120 and 35 bytes.
    assert!((analysis.dive.user_wasted_percent - 415.0 / 245.0).abs() < 1e-12);
    assert_eq!(analysis.bytes, 200 + 245);
    assert!((analyze(&[]).efficiency - 1.0).abs() < f64::EPSILON);
}

#[test]
fn hidden_bytes_are_told_by_layer_and_path() {
    let analysis = example();
    // Hidden: a of layer 0 and of layer 1, d/x and d/y, and b when its last name ln is replaced.
    assert_eq!(analysis.wasted, Waste { files: 5, bytes: 100 + 80 + 50 + 50 });
    let deleted = found(&analysis, Rule::DeletedLater);
    assert_eq!(deleted.len(), 1);
    assert_eq!((deleted[0].layer, deleted[0].files, deleted[0].bytes), (Some(2), 2, 50));
    assert_eq!(paths(deleted[0]), [("d", 50)]);
    assert_eq!(deleted[0].command, "two");
    assert_eq!(deleted[0].from, [LayerBytes { layer: 0, bytes: 50 }]);
    let replaced = found(&analysis, Rule::Overwritten);
    let layers: Vec<_> = replaced.iter().map(|found| (found.layer, found.bytes)).collect();
    assert_eq!(layers, [(Some(1), 100), (Some(2), 80), (Some(3), 50)]);
}

#[test]
fn unchanged_content_is_told_apart_from_new_content() {
    let analysis = analyze(&[
        ("ADD base /", vec![file("+a", 100), file("+b", 40), file("+c", 30)]),
        ("RUN chmod", vec![file("~a", 100), Item("+b", b"other".to_vec())]),
        ("COPY c /", vec![file("+c", 30)]),
    ]);
    let rewritten = found(&analysis, Rule::RewrittenUnchanged);
    let told: Vec<_> = rewritten.iter().map(|f| (f.layer, f.bytes, f.message.as_str())).collect();
    let expected = [
        (Some(1), 100, "changes only metadata of 1 file of layer 0, and contains them again"),
        (Some(2), 30, "contains 1 file of layer 0 again, unchanged"),
    ];
    assert_eq!(told, expected);
    assert_eq!(paths(found(&analysis, Rule::Overwritten)[0]), [("b", 40)]);
}

#[test]
fn duplicates_across_layers_are_found_by_content() {
    let big = |path| Item(path, vec![7; 900]);
    let analysis = analyze(&[
        ("ADD base /", vec![big("+a"), big("+same-layer"), Item("=link>a", Vec::new())]),
        ("COPY . /", vec![big("+b"), big("+c"), file("+other", 900)]),
        ("RUN x", vec![big("+d"), Item("-b", Vec::new())]),
    ]);
    let duplicates = found(&analysis, Rule::DuplicateContent);
    let told: Vec<_> = duplicates.iter().map(|f| (f.layer, paths(f))).collect();
    assert_eq!(told, [(Some(1), vec![("c", 900)]), (Some(2), vec![("d", 900)])]);
    assert_eq!(duplicates[0].paths[0].note.as_deref(), Some("as a"));
}

#[test]
fn caches_and_build_context_are_found_by_path() {
    let analysis = analyze(&[
        (
            "RUN apt-get update",
            vec![
                file("+var/lib/apt/lists/one", 40),
                file("+var/lib/apt/lists/two", 50),
                file("+srv/node_modules/made", 9),
            ],
        ),
        (
            "COPY . /app",
            vec![
                file("+app/.git/HEAD", 5),
                file("+app/.git/objects/1", 70),
                file("+app/node_modules/x/node_modules/y", 20),
                file("+app/.env", 3),
                file("+app/main", 3),
            ],
        ),
        ("COPY --from=build /x /x", vec![file("+x/node_modules/a", 20)]),
    ]);
    let caches = found(&analysis, Rule::PackageCache);
    assert_eq!(caches.len(), 1);
    assert_eq!((caches[0].layer, caches[0].bytes, caches[0].files), (Some(0), 90, 2));
    assert!(caches[0].tip.contains("/var/lib/apt/lists"));
    let context = found(&analysis, Rule::BuildContext);
    assert_eq!(context.len(), 1, "what a command or another stage made is wanted");
    assert_eq!((context[0].layer, context[0].bytes, context[0].files), (Some(1), 98, 4));
    let expected = [("app/.git", 75), ("app/node_modules", 20), ("app/.env", 3)];
    assert_eq!(paths(context[0]), expected);
}

#[test]
fn secrets_are_found_also_if_deleted_later() {
    let key = b"-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n".to_vec();
    let analysis = analyze(&[
        ("COPY . /", vec![Item("+etc/host_key", key.clone()), file("+root/.npmrc", 20)]),
        ("RUN rm", vec![Item("-root/.npmrc", Vec::new()), file("+etc/host_key", 10)]),
        ("RUN x", vec![file("+etc/other", 10), file("+etc/empty", 0)]),
    ]);
    let secrets = found(&analysis, Rule::Secret);
    assert_eq!(secrets.len(), 1);
    assert_eq!((secrets[0].layer, secrets[0].severity), (Some(0), Severity::Error));
    assert!(secrets[0].message.contains("deleted later"), "{}", secrets[0].message);
    let notes: Vec<_> = secrets[0].paths.iter().map(|path| path.note.as_deref().unwrap()).collect();
    assert_eq!(notes, ["private key", "by its name"]);
    assert_eq!(analysis.findings[0].rule, Rule::Secret, "the gravest come first");
    let json = serde_json::to_string(&analysis).unwrap();
    assert!(!json.contains("BEGIN") && !json.contains("c2VjcmV0"), "no content");
}

#[test]
fn build_steps_in_bad_order_are_found() {
    let analysis = analyze(&[
        ("ADD base /", vec![file("+base", 10)]),
        ("COPY . /app", vec![file("+app/src", 2_000_000)]),
        ("RUN install", vec![file("+lib", 3_000_000), file("+tool", 500)]),
        ("RUN build", vec![file("+bin", 100), Item("-tool", Vec::new())]),
        ("-ENV A=1", vec![]),
        ("RUN last", vec![file("+z", 1)]),
    ]);
    let copies = found(&analysis, Rule::CopyBeforeRun);
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].from, [LayerBytes { layer: 2, bytes: 3_000_500 }]);
    let runs = found(&analysis, Rule::ConsecutiveRuns);
    assert_eq!(runs.len(), 1, "ENV lies between the others");
    assert_eq!((runs[0].layer, runs[0].bytes), (Some(2), 500), "what one RUN would not keep");
}

#[test]
fn history_longer_than_layers_is_no_error() {
    let (manifest, config) = (manifest(&["a", "b"]), config(0, &["RUN a", "RUN b", "RUN c"]));
    let analyzer = Analyzer::new(&manifest, &config, StoredAs::Blobs);
    let analysis = analyzer.finish(&FileTree::new().unwrap(), &[0, 0]);
    assert_eq!(found(&analysis, Rule::ConsecutiveRuns)[0].layer, Some(0));
}

#[test]
fn broken_limits_are_all_listed() {
    let analysis = example();
    let limits = AnalysisLimits {
        min_efficiency: Some(0.5),
        max_waste: Some(MaxWaste::Bytes(279)),
        max_dive_wasted_bytes: Some(415),
        max_dive_user_wasted: Some(0.2),
    };
    let broken: Vec<_> = limits.broken(&analysis).into_iter().map(|one| one.limit).collect();
    assert_eq!(broken, ["efficiency", "waste", "highestUserWastedPercent"]);
    let percent = |most| AnalysisLimits {
        max_waste: Some(MaxWaste::Percent(most)),
        ..AnalysisLimits::default()
    };
    assert_eq!(percent(62.0).broken(&analysis).len(), 1, "280 of 445 bytes are 62.9 %");
    assert!(percent(63.0).broken(&analysis).is_empty());
    assert!(AnalysisLimits::default().broken(&analysis).is_empty());
}
