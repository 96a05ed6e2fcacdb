//! docker-compose.yml as it stands: open on this machine only, pinned, healthy in the right order, with named volumes, and
//! understood by the program.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::container::Container;
use crate::none;
use crate::program::root;
use crate::tools::{compose, list, text, yaml};

/// Services by name.
pub(crate) fn services(project: &Value) -> BTreeMap<String, Value> {
    project["services"].as_object().unwrap().clone().into_iter().collect()
}

/// Whether a service runs this project's image.
pub(crate) fn is_ours(service: &Value) -> bool {
    text(service, "/image").starts_with("rungs:")
}

/// A service's program as the container sees it.
pub(crate) fn container(name: &str, service: &Value) -> Container {
    let words = list(service, "/command").iter().map(|word| word.as_str().unwrap().to_owned());
    let environment = service["environment"].as_object().into_iter().flatten();
    let binds = list(service, "/volumes").iter().filter(|volume| volume["type"] == "bind");
    let files = binds.flat_map(|volume| {
        let entries = std::fs::read_dir(text(volume, "/source")).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).map(move |path| {
            let inside =
                format!("{}/{}", text(volume, "/target"), path.file_name().unwrap().to_str().unwrap());
            (inside, std::fs::read_to_string(path).unwrap_or_default())
        })
    });
    Container {
        name: name.to_owned(),
        arguments: words.collect(),
        environment: environment
            .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        files: files.collect(),
        secrets: Vec::new(),
    }
}

#[test]
fn every_port_is_open_on_this_machine_only() {
    let mut problems = Vec::new();
    let mut open = Vec::new();
    for (name, service) in services(&compose()) {
        for port in list(&service, "/ports") {
            if text(port, "/host_ip") != "127.0.0.1" {
                problems.push(format!("{name} is open to others: {port}"));
            }
            open.push(format!("{name} {}", text(port, "/published")));
        }
        if service.get("network_mode").is_some_and(|mode| mode == "host") {
            problems.push(format!("{name} uses the machine's own network"));
        }
    }
    none(problems);
    open.sort();
    assert_eq!(
        open,
        ["clickhouse 8123", "collector 8080", "console 8081", "grafana 3000", "prometheus 9090"]
    );
}

#[test]
fn images_are_pinned_and_ours_is_of_this_version() {
    let mut problems = Vec::new();
    for (name, service) in services(&compose()) {
        let (_, tag) = text(&service, "/image").rsplit_once(':').unwrap_or_default();
        if tag.split('.').count() < 3 || tag.contains("latest") {
            problems.push(format!("{name}: {} is not pinned", text(&service, "/image")));
        }
        if is_ours(&service) && tag != env!("CARGO_PKG_VERSION") {
            problems.push(format!("{name}: {tag} is not this version"));
        }
    }
    none(problems);
}

#[test]
fn the_program_understands_every_container() {
    let services = services(&compose());
    let ours: Vec<_> = services.iter().filter(|(_, service)| is_ours(service)).collect();
    assert_eq!(ours.len(), 6, "{ours:?}");
    none(ours.iter().flat_map(|(name, service)| container(name, service).problems()).collect());
}

#[test]
fn published_ports_are_those_that_the_program_listens_on() {
    for (name, service) in services(&compose()).iter().filter(|(_, service)| is_ours(service)) {
        let listens = container(name, service).listens();
        let published = list(service, "/ports").first().map(|port| port["target"].as_u64().unwrap());
        assert_eq!(published, listens.http.map(|address| u64::from(address.port())), "{name}");
        for address in [listens.http, listens.admin].into_iter().flatten() {
            assert!(
                address.ip().is_unspecified(),
                "{name} listens on {address}: no other container reaches it"
            );
        }
    }
}

#[test]
fn whoever_waits_for_health_waits_for_something_that_is_checked() {
    let services = services(&compose());
    let mut problems = Vec::new();
    for (name, service) in &services {
        let checked = !list(service, "/healthcheck/test").is_empty();
        let ends = ["plan", "visitors"].contains(&name.as_str());
        if !checked && !ends {
            problems.push(format!("{name} has no health check"));
        }
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let condition = text(how, "/condition");
            let checked = !list(&services[other], "/healthcheck/test").is_empty();
            let ends = text(&services[other], "/restart") == "on-failure";
            let fits = match condition {
                "service_healthy" => checked,
                "service_completed_successfully" => ends,
                _ => false,
            };
            if !fits {
                problems.push(format!("{name} waits for {other} to be {condition}, which it never is"));
            }
        }
    }
    none(problems);
    let waits =
        |name: &str, other: &str| text(&services[name], &format!("/depends_on/{other}/condition")).to_owned();
    assert_eq!(waits("collector", "plan"), "service_completed_successfully");
    assert_eq!(waits("aggregator-1", "clickhouse"), "service_healthy");
    assert_eq!(waits("aggregator-2", "kafka"), "service_healthy");
    assert_eq!(list(&services["visitors"], "/profiles"), ["demo"]);
}

#[test]
fn our_containers_may_do_little_and_volumes_have_names() {
    let project = compose();
    let mut problems = Vec::new();
    for (name, service) in services(&project) {
        if is_ours(&service) {
            let all = list(&service, "/cap_drop").iter().any(|capability| capability == "ALL");
            if service["read_only"] != true || !all || list(&service, "/security_opt").is_empty() {
                problems.push(format!("{name} may do more than it needs"));
            }
        }
        for volume in list(&service, "/volumes") {
            let source = text(volume, "/source");
            match text(volume, "/type") {
                "volume" if project["volumes"].get(source).is_some() => {}
                "bind" if volume["read_only"] == true => {}
                _ => problems.push(format!("{name}: {volume} has no name, or writes into the project")),
            }
        }
    }
    none(problems);
}

#[test]
fn prometheus_scrapes_every_service_where_it_answers() {
    let services = services(&compose());
    let mut expected: Vec<String> = services
        .iter()
        .filter(|(_, service)| is_ours(service))
        .filter_map(|(name, service)| {
            Some(format!("{name}:{}", container(name, service).listens().admin?.port()))
        })
        .collect();
    let configuration = yaml("observability/prometheus/prometheus.yml");
    let jobs = list(&configuration, "/scrape_configs");
    let job = jobs.iter().find(|job| job["job_name"] == "rungs").unwrap();
    let mut targets: Vec<&str> =
        list(job, "/static_configs/0/targets").iter().map(|target| target.as_str().unwrap()).collect();
    expected.sort();
    targets.sort_unstable();
    assert_eq!(targets, expected);
    assert_eq!(text(&configuration, "/global/scrape_interval"), "5s");
    assert!(root().join("observability/prometheus").is_dir());
}
