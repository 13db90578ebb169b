//! The scripts in `deploy/` cover all parts, without the systems that they are for.

use std::path::Path;

use super::Fleet;

const TARGETS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A file with six target repositories.
async fn fleet() -> Fleet {
    let fleet = Fleet::start().await;
    let targets = TARGETS.map(|name| format!("TO/m/{name}")).join(", ");
    fleet.write(&format!("mirror: [{{from: 'FROM/team/b:1.0', to: [{targets}]}}]"));
    fleet
}

/// Runs a line of shell for each part, in which `"$1"` is rpull. Together they mirror each image once.
async fn check_parts(fleet: &Fleet, lines: &[String]) {
    let mut counts = Vec::new();
    for line in lines {
        let output = fleet.cli.spawn_in_shell(line, &[] as &[&str]).wait().await;
        output.expect(0, "");
        counts.push(output.stdout.lines().filter(|line| line.contains("/m/")).count());
    }
    assert_eq!(counts.iter().sum::<usize>(), TARGETS.len(), "each part once: {counts:?}");
    for target in TARGETS {
        assert!(fleet.to.tagged(&format!("m/{target}"), "1.0").is_some(), "{target}");
    }
}

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name))
        .unwrap()
}

#[tokio::test]
async fn slurm_array_of_any_start_covers_all_parts() {
    let fleet = fleet().await;
    std::fs::write(fleet.cli.dir().join("array.sh"), text("slurm-array.sh")).unwrap();
    let line = |task: u32| {
        format!(
            "RPULL=\"$1\" SLURM_ARRAY_TASK_ID={task} SLURM_ARRAY_TASK_MIN=7 SLURM_ARRAY_TASK_COUNT=3 \
             exec sh array.sh m.yaml"
        )
    };
    check_parts(&fleet, &[7, 8, 9].map(line)).await;
    let output = fleet.cli.spawn_in_shell(&line(15), &[] as &[&str]).wait().await;
    output.expect(2, "submit one range, as --array=1-3: parts are counted");
    let output = fleet.cli.spawn_in_shell("exec sh array.sh m.yaml", &[] as &[&str]).wait().await;
    output.expect(2, "submit this script with sbatch --array=1-N");
}

#[tokio::test]
async fn slurm_array_with_step_covers_all_parts() {
    let fleet = fleet().await;
    std::fs::write(fleet.cli.dir().join("array.sh"), text("slurm-array.sh")).unwrap();
    let line = |task: u32| {
        format!(
            "RPULL=\"$1\" SLURM_ARRAY_TASK_ID={task} SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_STEP=4 \
             SLURM_ARRAY_TASK_COUNT=3 exec sh array.sh m.yaml"
        )
    };
    check_parts(&fleet, &[1, 5, 9].map(line)).await;
}

#[tokio::test]
async fn indexed_job_covers_all_parts() {
    let fleet = fleet().await;
    let job = text("kubernetes-indexed-job.yaml");
    let command = job.lines().find_map(|line| line.trim().strip_prefix("- exec rpull ")).unwrap();
    let command = command.replace("/state/", "./").replace("/config/mirror.yaml", "m.yaml");
    assert!(job.contains("completions: 4") && job.contains("{name: PARTS, value: \"4\"}"));
    let line = |index: u32| format!("JOB_COMPLETION_INDEX={index} PARTS=4; exec \"$1\" {command}");
    check_parts(&fleet, &[0, 1, 2, 3].map(line)).await;
}
