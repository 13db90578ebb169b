//! Writes what each fuzz target begins with to `corpus/`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    for target in ["apply", "entries", "overlay"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        for (name, bytes) in rpull_fuzz::seeds() {
            std::fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
