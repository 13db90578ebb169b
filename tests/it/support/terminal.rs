//! A terminal that a test types into.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use super::wait::wait_until;

/// A pseudo-terminal. It controls no process: Ctrl-C is a signal sent by the test.
pub(crate) struct Terminal {
    keyboard: OwnedFd,
    screen: File,
}

impl Terminal {
    pub(crate) fn open() -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let path = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let screen = File::options().read(true).write(true).open(path).unwrap();
        Self { keyboard, screen }
    }

    /// Returns the end for the process that runs in it.
    pub(crate) fn screen(&self) -> File {
        self.screen.try_clone().unwrap()
    }

    pub(crate) fn type_in(&self, text: &str) {
        assert_eq!(rustix::io::write(&self.keyboard, text.as_bytes()).unwrap(), text.len());
    }

    /// Returns whether typed text is echoed.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.screen).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    pub(crate) async fn wait_until_hidden(&self) {
        wait_until("the password would be seen", async || !self.echoes()).await;
    }
}
