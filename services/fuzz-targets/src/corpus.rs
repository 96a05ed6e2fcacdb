//! What targets begin with: the requests of `services/collector/tests/corpus` as clients write them, the events that came of
//! them, and the project's tracking plans. Read from the source tree.

use std::path::{Path, PathBuf};

use rungs_proto::v1::{Event, Kind};
use serde_json::Value;

/// A request of the corpus, its body not packed.
#[derive(Debug, Clone)]
pub struct Request {
    /// Without its query.
    pub path: String,
    pub query: String,
    pub body: Vec<u8>,
    folder: String,
    expected: Value,
}

/// All of it.
#[derive(Debug)]
pub struct Corpus {
    requests: Vec<Request>,
    plans: Vec<Vec<u8>>,
}

/// Data whose first byte is a choice; nothing, where a choice is no byte.
pub(crate) fn chosen(choice: usize, body: &[u8]) -> Option<Vec<u8>> {
    Some([&[u8::try_from(choice).ok()?], body].concat())
}

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files under a folder whose names end so, sorted.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { files(&path, ending) } else { vec![path] })
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
}

impl Corpus {
    /// Reads it.
    ///
    /// # Panics
    /// When it is not there.
    pub fn read() -> Self {
        let requests = files(&root().join("services/collector/tests/corpus"), ".txt");
        let plans = [root().join("examples"), root().join("k8s"), root().join("load-tests")];
        let plans = plans.iter().flat_map(|folder| files(folder, "tracking-plan.toml"));
        Self {
            requests: requests.iter().map(|path| Request::read(path)).collect(),
            plans: plans.map(|path| std::fs::read(path).unwrap()).collect(),
        }
    }

    /// The requests in these folders.
    pub fn requests(&self, folders: &[&str]) -> Vec<Request> {
        let of_folders = |request: &&Request| folders.contains(&request.folder.as_str());
        self.requests.iter().filter(of_folders).cloned().collect()
    }

    /// The bodies of requests in these folders that have one.
    pub fn bodies(&self, folders: &[&str]) -> Vec<Vec<u8>> {
        let bodies = self.requests(folders).into_iter().map(|request| request.body);
        bodies.filter(|body| !body.is_empty()).collect()
    }

    /// Tracking plans.
    pub fn plans(&self) -> Vec<Vec<u8>> {
        self.plans.clone()
    }

    /// The events that the requests come to, in our own JSON.
    pub fn events(&self) -> Vec<Value> {
        let events =
            self.requests.iter().filter_map(|request| request.expected["events"].as_array()).flatten();
        events.map(as_sent).collect()
    }

    /// The same as protobuf.
    pub fn protobuf_events(&self) -> Vec<Event> {
        self.events().iter().map(as_protobuf).collect()
    }
}

impl Request {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let (request, expected) = text.split_once("\n=== expected\n").unwrap();
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let target = head.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap();
        let (target, query) = target.split_once('?').unwrap_or((target, ""));
        let folder = path.parent().and_then(Path::file_name).unwrap();
        Self {
            path: target.to_owned(),
            query: query.to_owned(),
            body: body.as_bytes().to_vec(),
            folder: folder.to_string_lossy().into_owned(),
            expected: serde_json::from_str(expected).unwrap(),
        }
    }
}

/// An event of the corpus under the names of our own form.
fn as_sent(event: &Value) -> Value {
    let names = [
        ("kind", "type"),
        ("event", "event"),
        ("visitor_id", "anonymousId"),
        ("user_id", "userId"),
        ("message_id", "messageId"),
        ("own_ts_ms", "timestamp"),
        ("properties", "properties"),
        ("context", "context"),
    ];
    let fields = names.iter().filter_map(|(from, to)| Some(((*to).to_owned(), event.get(from)?.clone())));
    Value::Object(fields.collect())
}

fn as_protobuf(event: &Value) -> Event {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let object = |name: &str| event.get(name).map(Value::to_string).unwrap_or_default();
    Event {
        site: crate::wire::SITE.to_owned(),
        visitor_id: text("anonymousId"),
        user_id: text("userId"),
        message_id: text("messageId"),
        event: text("event"),
        kind: Kind::Track as i32,
        ts_ms: event["timestamp"].as_i64().unwrap_or_default(),
        properties: object("properties"),
        context: object("context"),
        revenue_e4: 19_900,
        has_revenue: true,
        currency: "EUR".to_owned(),
        ..Event::default()
    }
}
