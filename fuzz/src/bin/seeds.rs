//! Writes what each fuzz target begins with to `corpus/`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    for target in [
        "apply",
        "archive",
        "delta_apply",
        "entries",
        "overlay",
        "rebuild_parse",
        "rebuild_replay",
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        let seeds = match target {
            "archive" => rpull_fuzz::archive_seeds(),
            "delta_apply" => rpull_fuzz::delta_seeds(),
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
