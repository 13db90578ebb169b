//! Writes what each fuzz target begins with to `corpus/`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    for target in [
        "apply",
        "archive",
        "delta_apply",
        "entries",
        "hosts_toml",
        "overlay",
        "rebuild_parse",
        "rebuild_replay",
        "registries_conf",
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        let seeds = match target {
            "archive" => rpull_fuzz::archive_seeds(),
            "delta_apply" => rpull_fuzz::delta_seeds(),
            "hosts_toml" => rpull_fuzz::mirror_seeds(true),
            "registries_conf" => rpull_fuzz::mirror_seeds(false),
            "rebuild_parse" => rpull_fuzz::rebuild_seeds(false),
            "rebuild_replay" => rpull_fuzz::rebuild_seeds(true),
            _ => rpull_fuzz::seeds(),
        };
        for (name, bytes) in seeds {
            std::fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
