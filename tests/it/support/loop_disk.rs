//! A file system whose power can be cut.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::live::leave_out;

/// Asks the file system to stop, without writing its log; 2 is `NOLOGFLUSH`.
const CUT: &str = r#"my $how = pack("L", 2);
    open(my $at, "<", $ARGV[0]) or die $!;
    ioctl($at, 0x8004587d, $how) or die $!"#;

/// A mounted ext4; dropping it unmounts it.
pub(crate) struct LoopDisk {
    image: PathBuf,
    point: PathBuf,
}

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

#[track_caller]
fn must(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl LoopDisk {
    /// What it runs.
    pub(crate) const PROGRAMS: &[&str] = &["mkfs.ext4", "mount", "umount", "perl"];

    /// Makes one of 64 MiB in a file beside `point`; `None`, with a message, if mounting is not allowed.
    pub(crate) fn mount(test: &str, point: &Path) -> Option<Self> {
        let disk = Self { image: point.with_extension("img"), point: point.to_owned() };
        std::fs::create_dir(point).unwrap();
        std::fs::File::create(&disk.image).unwrap().set_len(64 << 20).unwrap();
        must(&run("mkfs.ext4", &["-q", "-F", disk.image.to_str().unwrap()]));
        let output = disk.attach();
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            leave_out(test, &format!("no disk can be mounted here: {why}"));
            std::mem::forget(disk);
            return None;
        }
        // A store is not expected to have it.
        std::fs::remove_dir(point.join("lost+found")).unwrap();
        Some(disk)
    }

    fn attach(&self) -> Output {
        run("mount", &["-o", "loop", self.image.to_str().unwrap(), self.point.to_str().unwrap()])
    }

    /// Returns what cuts its power: what was not synced is lost, and every access fails from now on.
    pub(crate) fn cutter(&self) -> impl Fn() + Send + Sync + 'static {
        let point = self.point.to_str().unwrap().to_owned();
        move || must(&run("perl", &["-e", CUT, &point]))
    }

    /// Switches the power on again. Until no mount namespace of another test has it any more, the same file system comes back.
    pub(crate) fn reattach(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            must(&run("umount", &[self.point.to_str().unwrap()]));
            must(&self.attach());
            let probe = self.point.join("probe");
            if std::fs::write(&probe, "").is_ok() {
                return std::fs::remove_file(probe).unwrap();
            }
            assert!(Instant::now() < deadline, "the disk stays without power");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        must(&run("umount", &["--lazy", self.point.to_str().unwrap()]));
    }
}
