//! A page in headless Chromium, driven by the DevTools protocol over a pipe: messages are JSON that end in a zero byte,
//! <https://chromedevtools.github.io/devtools-protocol/>.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Chromium's start on a busy machine takes some seconds.
const DEADLINE: Duration = Duration::from_secs(60);
/// Chromium reads the protocol from file 3 and writes it to file 4.
const PIPES: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--remote-debugging-pipe",
    // Tests run as root in containers, where the sandbox cannot start; the page is our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--window-size=1280,1600",
    "--lang=en-US",
];

/// A tab of the browser.
#[derive(Clone, Default)]
pub(crate) struct Tab {
    target: String,
    session: String,
}

/// One page, or several of one profile: what is asked and told is about the tab in front. Chromium ends when it is dropped.
pub(crate) struct Page {
    chromium: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    last_id: u64,
    tab: Tab,
    /// What the page complained about: exceptions and messages of the console.
    complaints: Vec<String>,
    _profile: TempDir,
}

/// Where Chromium is; `None` only if `RUNGS_SKIP_BROWSER` is set.
pub(crate) fn chromium() -> Option<PathBuf> {
    if std::env::var_os("RUNGS_SKIP_BROWSER").is_some() {
        println!("skipped: RUNGS_SKIP_BROWSER is set");
        return None;
    }
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(path.into());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&folders)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file());
    Some(found.expect(
        "the page's tests need Chromium: `apt-get install chromium`, or CHROMIUM=path of another one; \
         RUNGS_SKIP_BROWSER=1 leaves these tests out",
    ))
}

impl Page {
    /// Opens an address.
    pub(crate) fn open(chromium: PathBuf, address: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", PIPES])
            .arg(chromium)
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Its own group, so that all of its processes end with it.
            .process_group(0)
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(from).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { return };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let (last_id, tab, complaints) = (0, Tab::default(), Vec::new());
        let mut page =
            Self { chromium: child, to, from: receiver, last_id, tab, complaints, _profile: profile };
        page.open_tab(address);
        page
    }

    /// Opens another tab, which is in front then.
    pub(crate) fn open_tab(&mut self, address: &str) -> Tab {
        // Tabs are the browser's business, not a tab's.
        self.tab = Tab::default();
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", attached);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.tab = Tab { target: text(&target["targetId"]), session: text(&attached["sessionId"]) };
        for domain in ["Runtime", "Log", "Page"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        self.go(address);
        self.tab.clone()
    }

    /// Follows an address in the tab in front.
    pub(crate) fn go(&mut self, address: &str) {
        self.call("Page.navigate", json!({"url": address}));
    }

    /// The tab in front.
    pub(crate) fn tab(&self) -> Tab {
        self.tab.clone()
    }

    /// Brings a tab to the front.
    pub(crate) fn show(&mut self, tab: &Tab) {
        self.tab = tab.clone();
        self.call("Page.bringToFront", json!({}));
    }

    /// Closes the tab in front and brings another one there.
    pub(crate) fn close(&mut self, next: &Tab) {
        let closed = std::mem::take(&mut self.tab);
        self.call("Target.closeTarget", json!({"targetId": closed.target}));
        self.show(next);
    }

    /// The value of a JavaScript expression on the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression has a value.
    pub(crate) fn until(&mut self, expression: &str, value: &Value) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let found = self.evaluate(expression);
            if found == *value {
                return;
            }
            if Instant::now() >= deadline {
                let shown = self.evaluate("document.body?.innerText");
                let complaints = &self.complaints;
                panic!(
                    "{expression}\nis     {found}\nwanted {value}\ncomplaints {complaints:?}\npage {shown}"
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Shows the page as on a screen of that size, in dark or light colours.
    pub(crate) fn on_a_screen(&mut self, width: u32, height: u32, dark: bool) {
        let is_phone = width < 600;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if dark { "dark" } else { "light" };
        // As if the window were in front: else nothing has the focus.
        self.call("Emulation.setFocusEmulationEnabled", json!({"enabled": true}));
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// The whole page as a PNG, base64.
    pub(crate) fn picture(&mut self) -> String {
        let asked = json!({"format": "png", "captureBeyondViewport": true});
        self.call("Page.captureScreenshot", asked)["data"].as_str().unwrap().to_owned()
    }

    /// Presses a key: `Tab`, `Enter`, ` `, `ArrowRight`.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, number, text) = match key {
            "Tab" => ("Tab", 9, ""),
            "Enter" => ("Enter", 13, "\r"),
            " " => ("Space", 32, " "),
            "ArrowRight" => ("ArrowRight", 39, ""),
            other => panic!("{other} is not known here"),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({"type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number, "text": text});
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// What went wrong on the page so far.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.evaluate("0");
        self.complaints.clone()
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if !self.tab.session.is_empty() {
            message["sessionId"] = self.tab.session.clone().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.from.recv_timeout(DEADLINE);
            let answer = answer.unwrap_or_else(|error| panic!("Chromium does not answer {method}: {error}"));
            if answer["id"] == self.last_id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.notice(&answer);
        }
    }

    fn notice(&mut self, event: &Value) {
        let is_error = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            _ => false,
        };
        if is_error {
            self.complaints.push(event["params"].to_string());
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let group = format!("-{}", self.chromium.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.chromium.wait();
    }
}
