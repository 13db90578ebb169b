//! Ctrl-C typed on a terminal, which echoes `^C` among the lines that are drawn.

use std::process::Command;

use super::signals::stalling;
use crate::support::cli::Cli;
use crate::support::images::random_blob;
use crate::support::live::needs;
use crate::support::samples::stored;
use crate::support::wait::wait_until;

/// A terminal of 80 columns and 40 rows, by tmux.
struct Tmux(String);

impl Tmux {
    fn run(cli: &Cli, command: &str) -> Self {
        let tmux = Self(cli.dir().join("tmux").display().to_string());
        tmux.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "40", command]);
        tmux
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux").args(["-S", &self.0]).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    async fn wait_for(&self, text: &str) {
        wait_until(text, async || self.screen().contains(text)).await;
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        drop(Command::new("tmux").args(["-S", &self.0, "kill-server"]).status());
    }
}

/// Runs a shell command line in the terminal, where `rpull` is the program, presses Ctrl-C once `drawn` is shown, and returns
/// what then stands there.
async fn interrupted(cli: &Cli, line: &str, drawn: &str) -> String {
    let [home, store] = [cli.home(), cli.store()].map(|path| path.display().to_string());
    let rpull = env!("CARGO_BIN_EXE_rpull");
    let command = format!(
        "trap : INT; export HOME={home} RPULL_STORE={store}; rpull() {{ {rpull} --no-mirrors \"$@\"; }}; {line}; echo ended; exec cat"
    );
    let tmux = Tmux::run(cli, &command);
    tmux.wait_for(drawn).await;
    tmux.tmux(&["send-keys", "C-c"]);
    tmux.wait_for("ended").await;
    tmux.screen()
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_on_terminal_leaves_each_line_once() {
    if !needs("ctrl_c_on_terminal_leaves_each_line_once", &["tmux"]) {
        return;
    }
    let (_registry, held, name) = stalling().await;
    let screen =
        interrupted(&Cli::new(), &format!("rpull pull --jobs 1 {name}"), "downloading").await;
    for blob in held.blobs() {
        let lines = screen.matches(blob.digest().short()).count();
        assert!(lines <= 1, "{screen}");
    }
    assert_eq!(screen.matches("stopped at").count(), 1, "one never began: {screen}");
    assert!(screen.contains("interrupted") && !screen.contains("total"), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_on_terminal_removes_bar_of_phase() {
    if !needs("ctrl_c_on_terminal_removes_bar_of_phase", &["tmux"]) {
        return;
    }
    let (cli, image, _registry, _) = stored(1000).await;
    let file = cli.dir().join("data");
    std::fs::write(&file, random_blob(3_000_000, 7)).unwrap();
    let (dir, name) = (cli.dir().display(), "data");
    // In the background, Ctrl-C does not end tar: rpull might see the end of its output first.
    let tar = format!("{{ tar cf - -C {dir} {name}; exec sleep 100; }} >{dir}/tar & ");
    let line = format!(
        "mkfifo {dir}/tar; {tar} rpull append {image} - -t store:x:1 <{dir}/tar; kill $! 2>/dev/null"
    );
    let screen = interrupted(&cli, &line, "reading").await;
    assert!(screen.contains(": interrupted"), "{screen}");
    assert!(!screen.contains("reading"), "{screen}");
}
