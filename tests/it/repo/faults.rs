//! `docs/faults.md`: the tests that it names exist, and no fault is without a test or a reason.

use std::path::Path;

use super::test_names::test_paths;

/// The rows of all tables: fault, behavior, tests.
fn rows(text: &str) -> Vec<[&str; 3]> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    let cells = lines.filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        <[&str; 3]>::try_from(cells).ok()
    });
    cells.filter(|[fault, ..]| *fault != "fault").collect()
}

/// What is wrong with a row, if anything.
fn problem([fault, behavior, tests]: [&str; 3], existing: &[&str]) -> Option<String> {
    let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
    let has_reason = behavior.starts_with("no test: ");
    if named.is_empty() != has_reason {
        return Some(format!("{fault}: has neither a test nor a reason, or both"));
    }
    let missing = named.into_iter().find(|name| !existing.contains(name))?;
    Some(format!("{fault}: there is no test {missing}"))
}

#[test]
fn fault_list_names_existing_tests() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    let text = std::fs::read_to_string(path).unwrap();
    let paths = test_paths();
    let names: Vec<&str> = paths.iter().filter_map(|path| path.rsplit("::").next()).collect();
    let rows = rows(&text);
    let lines = text.lines().filter(|line| line.starts_with("| ")).count();
    assert_eq!(rows.len() + text.matches("| fault |").count(), lines, "a row has other cells");
    assert!(rows.len() > 90, "{}", rows.len());
    let problems: Vec<String> = rows.into_iter().filter_map(|row| problem(row, &names)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn fault_row_without_test_or_reason_is_reported() {
    let table = "| fault | rpull | test |\n|---|---|---|\n| a | b | `c` |\n| d | no test: e | |\n";
    assert_eq!(rows(table), [["a", "b", "`c`"], ["d", "no test: e", ""]]);
    assert_eq!(problem(["a", "b", "`c`"], &["c"]), None);
    assert_eq!(problem(["d", "no test: e", ""], &[]), None);
    for row in [["a", "b", "`c`, `d`"], ["a", "b", ""], ["a", "no test: b", "`c`"]] {
        assert!(problem(row, &["c"]).is_some(), "{row:?}");
    }
}
