//! `tests/layers/overlay.tsv`: test layers of another client, as overlay layers.

use crate::support::entries::TarItem;
use crate::support::layer_cases::{Case, cases, item};
use crate::support::stack::{Stack, is_whiteout, opaque};
use crate::support::tree::Node;

/// Checks the directory of the top layer.
fn check(case: &str, nodes: &[Node], words: &[&str]) {
    let of = |path: &str| nodes.iter().find(|node| node.path == path);
    let right = match words {
        ["opaque", path] => of(path).is_some_and(opaque),
        ["whiteout", path] => of(path).is_some_and(is_whiteout),
        ["absent", path] => of(path).is_none(),
        ["exists", path] => of(path).is_some_and(|node| !is_whiteout(node)),
        other => panic!("{other:?}"),
    };
    assert!(right, "{case}: {words:?} in {nodes:?}");
}

fn run(case: &Case<'_>) -> usize {
    let mut layers: Vec<Vec<TarItem>> = Vec::new();
    let mut checks = Vec::new();
    for words in &case.lines {
        match (words[0], item(words)) {
            ("layer", _) => layers.push(Vec::new()),
            (_, Some(item)) => layers.last_mut().unwrap().push(item),
            _ => checks.push(words),
        }
    }
    let layers: Vec<_> = layers.iter().map(Vec::as_slice).collect();
    let stack = Stack::of(&layers);
    let nodes = stack.nodes(layers.len() - 1);
    for words in &checks {
        check(case.id, &nodes, words);
    }
    checks.len()
}

#[test]
fn whiteout_and_opaque_vectors_of_other_clients_pass() {
    let cases = cases(include_str!("../../layers/overlay.tsv"));
    let checks: Vec<_> = cases.iter().map(run).collect();
    assert_eq!(checks, [2, 4, 8]);
}
