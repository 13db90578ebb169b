//! A headless Chromium that a test looks at pages with, by the `DevTools` protocol over a pipe.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The program, from Debian's package of the same name.
pub(crate) const PROGRAM: &str = "chromium-headless-shell";

/// Longest wait for an answer or a condition; much more than a loaded machine needs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The pipe of the protocol is at descriptors 3 and 4.
const START: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"#;

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    last: u64,
    events: VecDeque<Value>,
    /// The profile.
    _dir: TempDir,
}

impl Browser {
    /// Starts the browser with an empty page of this width, in light colors.
    pub(crate) fn start(width: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", START, PROGRAM, "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", dir.path().display()))
            .env("HOME", dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let (to, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        let events = VecDeque::new();
        let mut browser = Self { child, to, from, session: None, last: 0, events, _dir: dir };
        let page = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let target = json!({"targetId": page["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", &target);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        let screen =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        browser.call("Emulation.setDeviceMetricsOverride", &screen);
        browser
    }

    fn receive(&mut self) -> Value {
        self.from.recv_timeout(TIMEOUT).expect("the browser answers")
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let mut message = self.receive();
            if message["id"] != json!(self.last) {
                self.events.push_back(message);
                continue;
            }
            assert_eq!(message["error"], Value::Null, "{method} {params}");
            return message["result"].take();
        }
    }

    /// Opens a file and waits until it is loaded.
    pub(crate) fn open(&mut self, file: &Path) {
        self.call("Page.navigate", &json!({"url": format!("file://{}", file.display())}));
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'");
    }

    /// The value of an expression in the page.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", &params);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&mut self, expression: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while self.eval(expression) != json!(true) {
            assert!(Instant::now() < deadline, "{expression}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Clicks in the middle of the element that an expression gives.
    pub(crate) fn click(&mut self, element: &str) {
        let place = self.eval(&format!(
            "(() => {{ const element = {element}; element.scrollIntoView({{block: 'center'}}); \
             const box = element.getBoundingClientRect(); \
             return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        ));
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let params = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", &params);
        }
    }

    /// Presses a key by its name in the DOM, such as `Escape`.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let params = json!({
                "type": kind, "key": key, "code": key, "text": text,
                "windowsVirtualKeyCode": code,
            });
            self.call("Input.dispatchKeyEvent", &params);
        }
    }

    /// Shows the page in dark colors.
    pub(crate) fn darken(&mut self) {
        let dark = json!([{"name": "prefers-color-scheme", "value": "dark"}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": dark}));
    }

    /// What a screen reader is told: the role and name of everything that is not hidden from it.
    pub(crate) fn accessible(&mut self) -> Vec<(String, String)> {
        self.call("Accessibility.enable", &json!({}));
        let tree = self.call("Accessibility.getFullAXTree", &json!({}));
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().unwrap().iter();
        let nodes = nodes.filter(|node| node["ignored"] == json!(false));
        nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
    }

    /// What the page has complained of so far: exceptions, messages of the console, violations of its policy.
    pub(crate) fn complaints(&mut self) -> Vec<Value> {
        self.events_of(&["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"])
    }

    /// The addresses of all that the page has asked for.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        let sent = self.events_of(&["Network.requestWillBeSent"]);
        let url = |event: &Value| event["params"]["request"]["url"].as_str().unwrap().to_owned();
        sent.iter().map(url).collect()
    }

    fn events_of(&mut self, methods: &[&str]) -> Vec<Value> {
        // Everything that was sent before the answer has arrived with it.
        self.eval("0");
        let is_one = |event: &&Value| methods.iter().any(|method| event["method"] == *method);
        self.events.iter().filter(is_one).cloned().collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended by itself.
        _ = group.map(|group| kill_process_group(group, Signal::KILL));
        self.child.wait().unwrap();
    }
}
