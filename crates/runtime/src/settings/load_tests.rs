//! What settings may say, and what is said about the rest.

use std::path::PathBuf;

use super::*;
use crate::settings::{LogFormat, reference};

fn env(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let owned: Vec<_> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    owned.into_iter()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).unwrap());
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, variables: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let folder = format!("{}/", self.0.path().display());
        let loaded = Settings::load(Some(&self.path("rungs.toml")), env(variables));
        loaded.map_err(|problems| {
            problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
        })
    }
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    Folder::with(&[("rungs.toml", text)]).load(variables)
}

#[test]
fn without_a_file_and_variables_the_defaults_hold() {
    let others = [("RUNGS_LOG", "debug"), ("PATH", "/bin"), ("RUNGS_COMMIT", "x")];
    assert_eq!(Settings::load(None, env(&others)).unwrap(), Settings::default());
}

#[test]
fn the_file_is_read_with_units() {
    let text = r#"
[collector]
listen = "0.0.0.0:9000"
workers = 4
max_body = "8MiB"
max_event = 1000
skew_threshold = "90s"
country_header = "CF-IPCountry"
[aggregator]
horizon = "2d"
hour_history = "365d"
[clickhouse]
url = "https://clickhouse.internal:8443/"
[logging]
format = "json"
level = "info,aggregator=debug"
[kafka]
brokers = "a:9092,b:9092"
topic_prefix = "staging."
retention = "14d"
ca_file = "certs/ca.pem"
[kafka.options]
"sasl.mechanism" = "PLAIN"
"linger.ms" = 20
"enable.ssl.certificate.verification" = false
"#;
    let settings = load(text, &[]).unwrap();
    assert_eq!(settings.collector.listen.to_string(), "0.0.0.0:9000");
    assert_eq!((settings.collector.workers, settings.collector.max_body_bytes), (4, 8 << 20));
    assert_eq!((settings.collector.max_event_bytes, settings.collector.skew_threshold_ms), (1_000, 90_000));
    assert_eq!(settings.collector.country_header.as_deref(), Some("CF-IPCountry"));
    assert_eq!((settings.aggregator.horizon_ms, settings.aggregator.hour_history_days), (172_800_000, 365));
    assert_eq!(settings.clickhouse.url.as_deref(), Some("https://clickhouse.internal:8443"));
    assert_eq!(settings.logging.format, LogFormat::Json);
    let kafka = &settings.kafka;
    assert_eq!(kafka.brokers.as_deref(), Some("a:9092,b:9092"));
    assert_eq!((kafka.partitions, kafka.retention_ms), (32, 14 * 86_400_000));
    assert!(kafka.ca_file.as_ref().is_some_and(|file| file.is_absolute() && file.ends_with("certs/ca.pem")));
    let option = |key: &str| kafka.options.get(key).map(String::as_str);
    assert_eq!((option("sasl.mechanism"), option("linger.ms")), (Some("PLAIN"), Some("20")));
    assert_eq!(option("enable.ssl.certificate.verification"), Some("false"));
    assert_eq!(settings.collector.max_expanded_bytes, Settings::default().collector.max_expanded_bytes);
}

#[test]
fn the_environment_wins_over_the_file() {
    let options = ("RUNGS_KAFKA__OPTIONS", "linger.ms=5, sasl.mechanism=PLAIN");
    let variables = [("RUNGS_COLLECTOR__WORKERS", "2"), ("RUNGS_COLLECTOR__MAX_BODY", "2MiB"), options];
    let settings = load("[collector]\nworkers = 4\nmax_event = \"1KiB\"\n", &variables).unwrap();
    assert_eq!(settings.kafka.options.len(), 2);
    let collector = settings.collector;
    assert_eq!(
        (collector.workers, collector.max_body_bytes, collector.max_event_bytes),
        (2, 2 << 20, 1 << 10)
    );
}

#[test]
fn all_mistakes_are_told_at_once_with_line_and_hint() {
    let text = r#"[colector]
listen = "x"
[collector]
listen = "127.0.0.1:70000"
wrokers = 4
max_body = "4 megs"
head_timeout = 10
max_connections = 0
[aggregator]
minute_history = "36h"
[admin]
listen = "localhost"
[logging]
format = "jsn"
level = "inof"
[clickhouse]
url = "clickhouse:8123"
[kafka]
brokers = ["a:9092"]
options = { "linger.ms" = [5] }
"#;
    let variables = [
        ("RUNGS_CONSOLE__WORKERS", "many"),
        ("RUNGS_CLICKHOUSE__ULR", "x"),
        ("RUNGS_KAFKA__OPTIONS", "linger.ms=5,acks"),
    ];
    let expected = [
        "rungs.toml:1: unknown key `colector` (hint: did you mean `collector`?)",
        "rungs.toml:4: listen of [collector] has no valid port in \"127.0.0.1:70000\" (hint: ports are 0 to 65535; 0 lets the system choose)",
        "rungs.toml:5: unknown key `wrokers` in [collector] (hint: did you mean `workers`?)",
        "rungs.toml:6: max_body of [collector] must be a size, not \"4 megs\" (hint: bytes, or a number and KiB, MiB, GiB: \"4MiB\")",
        "rungs.toml:7: head_timeout of [collector] must be a span of time, not a whole number (hint: a number and ms, s, m, h or d: \"10s\", \"24h\")",
        "rungs.toml:8: max_connections of [collector] is out of range (hint: 1 to 1000000)",
        "rungs.toml:10: minute_history of [aggregator] must be a number of whole days, not \"36h\" (hint: e.g. \"7d\")",
        "rungs.toml:12: listen of [admin] must be an IP address and a port, not \"localhost\" (hint: \"127.0.0.1:8080\" for this machine only, \"0.0.0.0:8080\" for all)",
        "rungs.toml:14: format of [logging] must be \"text\" or \"json\", not \"jsn\" (hint: did you mean \"json\"?)",
        "rungs.toml:15: level of [logging] must be a level, not \"inof\" (hint: did you mean \"info\"?)",
        "rungs.toml:17: url of [clickhouse] must be an address, not \"clickhouse:8123\" (hint: \"http://host:8123\" or \"https://host:8443\")",
        "rungs.toml:19: brokers of [kafka] must be text, not a list (hint: put it in quotes)",
        "rungs.toml:20: options of [kafka] has no plain value at \"linger.ms\" (hint: a table of keys in quotes and their values: \"linger.ms\" = 5)",
        "RUNGS_CLICKHOUSE__ULR: there is no such setting (hint: did you mean RUNGS_CLICKHOUSE__URL?)",
        "RUNGS_CONSOLE__WORKERS: must be a whole number, not \"many\" (hint: without quotes or unit)",
        "RUNGS_KAFKA__OPTIONS: has no = in \"acks\" (hint: key=value,key=value; values without commas)",
    ];
    let problems = load(text, &variables).unwrap_err();
    assert_eq!(problems, expected, "{problems:#?}");
}

#[test]
fn a_secret_can_come_from_a_file_beside_the_settings() {
    let text = "[clickhouse]\npassword_file = \"password\"\n[console]\ntoken = \"t0ken\"\n";
    let settings = Folder::with(&[("rungs.toml", text), ("password", " s3cret\n")]).load(&[]).unwrap();
    assert_eq!(settings.clickhouse.password.as_deref(), Some("s3cret"));
    assert_eq!(settings.console.token.as_deref(), Some("t0ken"));
    let printed = format!("{settings:?}");
    assert!(
        !printed.contains("s3cret") && !printed.contains("t0ken") && printed.contains("***"),
        "{printed}"
    );
}

#[test]
fn a_secret_file_of_the_environment_wins_over_the_file() {
    let folder = Folder::with(&[("rungs.toml", "[clickhouse]\npassword = \"old\"\n"), ("new", "new\n")]);
    let path = folder.path("new").display().to_string();
    let settings = folder.load(&[("RUNGS_CLICKHOUSE__PASSWORD_FILE", &path)]).unwrap();
    assert_eq!(settings.clickhouse.password.as_deref(), Some("new"));
}

#[test]
fn a_secret_file_that_is_missing_or_empty_and_a_secret_given_twice_are_mistakes() {
    let text =
        "[clickhouse]\npassword = \"x\"\npassword_file = \"password\"\n[console]\ntoken_file = \"missing\"\n";
    let problems = Folder::with(&[("rungs.toml", text), ("password", "\n")]).load(&[]).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(
        problems[0].starts_with("rungs.toml:3: password_file of [clickhouse] is given beside password"),
        "{problems:#?}"
    );
    assert!(
        problems[1].contains("which is empty") && problems[2].contains("which cannot be read"),
        "{problems:#?}"
    );
    let twice = [("RUNGS_CONSOLE__TOKEN", "x"), ("RUNGS_CONSOLE__TOKEN_FILE", "y")];
    assert!(load("", &twice).unwrap_err()[0].contains("given beside RUNGS_CONSOLE__TOKEN"));
}

#[test]
fn limits_that_contradict_each_other_are_refused_where_they_were_set() {
    let problems = load("[collector]\nmax_body = \"32MiB\"\n", &[]).unwrap_err();
    assert_eq!(
        problems,
        [
            "rungs.toml:2: max_body of [collector] is 32MiB, larger than max_expanded 16MiB (hint: raise max_expanded or lower max_body)"
        ]
    );
    let problems = load("", &[("RUNGS_AGGREGATOR__HOUR_HISTORY", "3d")]).unwrap_err();
    assert!(
        problems[0].starts_with("RUNGS_AGGREGATOR__HOUR_HISTORY: minute_history of [aggregator] is 7d"),
        "{problems:?}"
    );
}

#[test]
fn a_settings_file_that_is_missing_is_a_mistake() {
    let problems = Settings::load(Some(Path::new("/nowhere/rungs.toml")), env(&[])).unwrap_err();
    assert!(
        problems[0].to_string().starts_with("/nowhere/rungs.toml: the settings cannot be read"),
        "{problems:?}"
    );
}

#[test]
fn the_reference_itself_is_a_file_of_defaults_that_loads() {
    let mut text = String::new();
    let mut section = String::new();
    for row in reference().lines().skip(2) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (of, name) = cells[1].trim_matches('`').split_once(' ').unwrap();
        if of != section {
            text.push_str(&format!("{of}\n"));
            section = of.to_owned();
        }
        if !cells[3].is_empty() {
            text.push_str(&format!("{name} = {}\n", cells[3].trim_matches('`')));
        }
    }
    assert_eq!(load(&text, &[]).unwrap(), Settings::default(), "{text}");
}
