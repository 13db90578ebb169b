//! The files in `deploy/`: a checker for Kubernetes accepts them, and Slurm runs them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cli::Cli;
use crate::support::live::{Access, Live, is_root, needs};
use crate::support::real::RealImage;
use crate::support::slurm::{SLURM, Slurm};

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// The program `kubernetes-validate` of `PyPI`; if it is missing, says that the test is left out.
fn validator(test: &str) -> Option<String> {
    if let Ok(program) = std::env::var("RPULL_KUBERNETES_VALIDATE") {
        return Some(program);
    }
    let program = "kubernetes-validate";
    if Command::new(program).arg("--version").output().is_ok() {
        return Some(program.to_owned());
    }
    // Not through the test harness, which captures the output of passing tests.
    writeln!(std::io::stderr(), "left out: {test}: {program} of PyPI is not installed").unwrap();
    None
}

#[test]
fn kubernetes_manifests_are_valid() {
    let Some(program) = validator("kubernetes_manifests_are_valid") else { return };
    for (name, count) in [("kubernetes-cronjob.yaml", 2), ("kubernetes-indexed-job.yaml", 1)] {
        let output = Command::new(&program).arg("--strict").arg(deploy(name)).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(output.status.success(), "{text}");
        assert_eq!(text.matches(" passed for resource ").count(), count, "{text}");
    }
}

#[tokio::test]
async fn slurm_array_mirrors_all_repositories() {
    let test = "slurm_array_mirrors_all_repositories";
    let needed = [&["docker-registry", "skopeo", "dpkg"], SLURM].concat();
    if !needs(test, &needed) || !is_root(test) {
        return;
    }
    let (registry, slurm, cli) = (Live::start(&Access::Open), Slurm::start().await, Cli::new());
    let host = registry.host();
    RealImage::get().push("v1", &format!("{host}/real:v1"), &["--dest-tls-verify=false"]);
    // Parts are chosen by a hash over names, in which the port is another one in each run. With
    // this many repositories no part stays empty in less than one of eight million runs.
    let targets: Vec<_> = (0..24).map(|number| format!("{host}/m/r{number}")).collect();
    let file = format!("mirror: [{{from: '{host}/real:v1', to: [{}]}}]", targets.join(", "));
    std::fs::write(cli.dir().join("m.yaml"), file).unwrap();

    let rpull = env!("CARGO_BIN_EXE_rpull");
    let environment = format!(
        "ALL,RPULL={rpull},CONTAINERS_REGISTRIES_CONF=/dev/null,HOME={}",
        cli.home().display()
    );
    let output = slurm
        .command("sbatch")
        // Arrays need not begin at 1.
        .args(["--wait", "--array=3-4", "--output=%a.log", "--export", &environment])
        .arg(deploy("slurm-array.sh"))
        .arg("m.yaml")
        .current_dir(cli.dir())
        .output()
        .unwrap();
    let log = |task| std::fs::read_to_string(cli.dir().join(format!("{task}.log")));
    let logs = [3, 4].map(log);
    assert!(output.status.success(), "{output:?}: {logs:?}");
    // Each part has some of the repositories, and together they have all.
    let mirrored = logs.map(|log| log.unwrap().matches("/m/").count() > 0);
    assert_eq!(mirrored, [true, true]);
    for target in targets {
        cli.run(&["digest", &format!("{target}:v1")]).await.expect(0, "");
    }
}
