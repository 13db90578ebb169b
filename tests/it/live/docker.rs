//! Against Debian's docker: its data root, its daemon, and what it says about both.

use serde_json::{Value, json};

use crate::support::cli::Cli;
use crate::support::dockerd::Dockerd;
use crate::support::live::{is_root, needs};
use crate::support::real::RealImage;

const PROGRAMS: &[&str] = &["dockerd", "docker", "dpkg"];

/// A daemon with images that were loaded, built and imported; `None`, with a message, if the test has to be skipped.
async fn docker(test: &str, cli: &Cli) -> Option<Dockerd> {
    if !is_root(test) || !needs(test, PROGRAMS) {
        return None;
    }
    let (dockerd, dir) = (Dockerd::start(), cli.dir());
    let source = format!("oci:{}:v1", RealImage::get().layout().display());
    cli.run(&["copy", &source, "docker-archive:real.tar:real:1"]).await.expect(0, "");
    dockerd.run(dir, &["load", "-i", "real.tar"]);
    std::fs::create_dir_all(dir.join("build/files/deep")).unwrap();
    std::fs::write(dir.join("build/files/deep/file"), "of the build\n").unwrap();
    let lines = "FROM real:1\nENV A=b\nCOPY files /usr/share/files\nLABEL c=d\nCOPY files/deep/file /etc/\n";
    std::fs::write(dir.join("build/Dockerfile"), lines).unwrap();
    dockerd.run(dir, &["build", "-q", "-t", "built:1", "build"]);
    cli.run(&["export", &source, "-o", "flat.tar"]).await.expect(0, "");
    dockerd.run(dir, &["import", "flat.tar", "imported:1"]);
    Some(dockerd)
}

fn place(dockerd: &Dockerd, image: &str) -> String {
    format!("docker-root:{}:{image}", dockerd.root().display())
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_root_equals_docker_save_history_and_sizes() {
    let cli = Cli::new();
    let test = "docker_root_equals_docker_save_history_and_sizes";
    let Some(dockerd) = docker(test, &cli).await else { return };
    let cli = cli.env("DOCKER_HOST", dockerd.host());
    let ask = |args: &[&str]| dockerd.run(cli.dir(), args);
    for image in ["real:1", "built:1", "imported:1"] {
        let root = place(&dockerd, image);
        ask(&["save", image, "-o", "saved.tar"]);
        let saved = cli.run(&["manifest", "docker-archive:saved.tar"]).await.stdout;
        assert_eq!(cli.run(&["manifest", &root]).await.stdout, saved, "{image}");
        assert_eq!(cli.run(&["manifest", &format!("docker-daemon:{image}")]).await.stdout, saved);
        let out = format!("oci:out-{}", image.replace(':', "-"));
        cli.run(&["copy", &root, &out]).await.expect(0, "");
        cli.run(&["verify", &out]).await.expect(0, "");
        let format = "{{.Size}} {{.CreatedBy}}";
        let said = ask(&["history", "--no-trunc", "-H=false", "--format", format, image]);
        let own = cli.json(&["history", "--json", &root]).await;
        let line = |row: &Value| format!("{} {}", row["size"], row["created_by"].as_str().unwrap());
        let own: Vec<String> = own.as_array().unwrap().iter().map(line).collect();
        assert_eq!(
            own.iter().map(|line| line.trim()).collect::<Vec<_>>(),
            said.lines().map(str::trim).collect::<Vec<_>>()
        );
        let upper = ask(&["image", "inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", image]);
        let layers = cli.json(&["layers", "--json", &root]).await;
        assert_eq!(
            layers.as_array().unwrap().last().unwrap()["directory"],
            json!(upper),
            "{image}"
        );
    }
    // The engine goes on, and nothing of it was changed.
    ask(&["image", "rm", "built:1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_df_equals_sizes_of_docker() {
    let cli = Cli::new();
    let Some(dockerd) = docker("docker_df_equals_sizes_of_docker", &cli).await else { return };
    let ask = |args: &[&str]| dockerd.run(cli.dir(), args);
    ask(&["create", "--name", "box", "built:1", "true"]);
    ask(&["tag", "real:1", "other:1"]);
    let root = format!("docker-root:{}", dockerd.root().display());
    let df = cli.json(&["df", "--json", &root]).await;
    let images = df["images"].as_array().unwrap();
    for image in ["real:1", "built:1", "imported:1"] {
        let [id, size] =
            ["{{.Id}}", "{{.Size}}"].map(|of| ask(&["image", "inspect", "-f", of, image]));
        let own = images.iter().find(|own| own["digest"] == json!(id)).unwrap();
        assert_eq!(own["size"].to_string(), size, "{image}");
    }
    assert_eq!(images.len(), 3, "one row per image: {images:?}");
    assert_eq!(df["unreferenced"], 0);
    let holds =
        |kind: &str| df["shares"].as_array().unwrap().iter().any(|share| share["holds"] == kind);
    assert!(holds("changes by containers"), "{}", df["shares"]);
    cli.run(&["df", &root]).await.expect(0, "");
    let stored = cli.run(&["layers", &place(&dockerd, "built:1")]).await;
    stored.expect(0, "");
    ask(&["rm", "box"]);
}
