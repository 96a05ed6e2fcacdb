//! The dashboards' files: they are what the code makes, Grafana knows every key in them, and they refer only to what is
//! there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_files_are_what_the_code_makes() {
    let folder = here().join("grafana/dashboards");
    let mut files: BTreeSet<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for (name, dashboard) in observability::all() {
        let path = folder.join(name);
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == observability::text(&dashboard), "{name} lags: cargo run -p observability");
        files.remove(&path);
    }
    assert_eq!(files, BTreeSet::new(), "no code makes these");
}

#[test]
fn grafana_knows_every_key_and_value() {
    let fetched = Command::new("sh").arg(here().join("../scripts/fetch-grafana-schema.sh")).output().unwrap();
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    let schema = PathBuf::from(String::from_utf8(fetched.stdout).unwrap().trim());
    let errors =
        compile(&schema, &observability::all().into_iter().map(|(_, json)| json).collect::<Vec<_>>());
    assert_eq!(errors, "");

    // A check that cannot fail would be none.
    let wrong = [("/panels/0/gridPos/width", "4"), ("/graphTooltip", "7"), ("/panels/0/options/colour", "1")]
        .map(|(pointer, wrong)| {
            let mut dashboard = observability::all().remove(0).1;
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            dashboard.pointer_mut(parent).unwrap()[key] = serde_json::from_str(wrong).unwrap();
            dashboard
        });
    let errors = compile(&schema, &wrong);
    assert_eq!(errors.matches(": error TS").count(), wrong.len(), "{errors}");
}

/// What the compiler says of dashboards as literals of the schema's type.
fn compile(schema: &Path, dashboards: &[serde_json::Value]) -> String {
    let folder = tempfile::tempdir_in(schema).unwrap();
    let mut source = std::fs::read_to_string(here().join("grafana/schema.ts")).unwrap();
    for (number, dashboard) in dashboards.iter().enumerate() {
        source.push_str(&format!("export const d{number}: Provisioned = {dashboard:#};\n"));
    }
    let path = folder.path().join("check.ts");
    std::fs::write(&path, source).unwrap();
    let output = Command::new("node")
        .arg(schema.join("node_modules/typescript/bin/tsc"))
        .args("--noEmit --strict --skipLibCheck --pretty false --target es2022 --module esnext".split(' '))
        .args(["--moduleResolution", "node"])
        .arg(&path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn panels_have_places_of_their_own_and_ids_of_their_own() {
    for (name, dashboard) in observability::all() {
        let panels = dashboard["panels"].as_array().unwrap();
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in panels {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {}", panel["title"]);
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(place("x") + place("w") <= 24, "{name}: {}", panel["title"]);
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(taken.insert((x, y)), "{name}: {} covers another panel", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn the_provisioned_sources_are_those_that_dashboards_choose_first() {
    let provisioned =
        std::fs::read_to_string(here().join("grafana/provisioning/datasources/rungs.yml")).unwrap();
    for (name, dashboard) in observability::all() {
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        for source in variables.iter().filter(|variable| variable["type"] == "datasource") {
            let (uid, plugin) =
                (source["current"]["value"].as_str().unwrap(), source["query"].as_str().unwrap());
            let both = format!("uid: {uid}\n    type: {plugin}\n");
            assert!(provisioned.contains(&both), "{name}: {both}");
        }
    }
}
