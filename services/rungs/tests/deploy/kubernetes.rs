//! The kustomizations of k8s/: each is built, held against the schemas of three versions of Kubernetes, and its containers
//! against what the program knows; and what docs/operations.md promises of pods holds.

use serde_json::Value;

use crate::container::Container;
use crate::none;
use crate::tools::{self, kustomize, list, text};

/// What can be applied as it is.
const OVERLAYS: [&str; 2] = ["k8s/overlays/dev", "k8s/overlays/prod"];
/// What an overlay may use, or is applied beside one.
const PARTS: [&str; 4] =
    ["k8s/drain", "k8s/components/gateway", "k8s/components/ingress", "k8s/components/monitoring"];

/// The objects of every overlay, with its path.
pub(crate) fn overlays() -> Vec<(&'static str, Vec<Value>)> {
    OVERLAYS.map(|path| (path, kustomize(path))).to_vec()
}

/// The objects of a kind.
pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| text(object, "/kind") == kind).collect()
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// What runs pods.
pub(crate) fn workloads(objects: &[Value]) -> Vec<&Value> {
    let kinds = ["StatefulSet", "Deployment", "Job"];
    objects.iter().filter(|object| kinds.contains(&text(object, "/kind"))).collect()
}

/// Those of them that run this project's image.
pub(crate) fn ours(objects: &[Value]) -> Vec<&Value> {
    let is_ours =
        |workload: &&Value| text(workload, "/metadata/labels/app.kubernetes.io~1part-of") == "rungs";
    workloads(objects).into_iter().filter(is_ours).collect()
}

/// A workload's first container, as its program sees it.
pub(crate) fn container(workload: &Value, objects: &[Value]) -> Container {
    let pod = &workload["spec"]["template"]["spec"];
    let described = &pod["containers"][0];
    let words = list(described, "/args").iter().map(|word| word.as_str().unwrap().to_owned());
    let environment = list(described, "/env").iter().map(|variable| {
        let value = match text(variable, "/valueFrom/fieldRef/fieldPath") {
            "metadata.name" => format!("{}-0", name(workload)),
            _ => text(variable, "/value").to_owned(),
        };
        (text(variable, "/name").to_owned(), value)
    });
    let mut container = Container {
        name: format!("{} {}", text(workload, "/kind"), name(workload)),
        arguments: words.collect(),
        environment: environment.collect(),
        ..Container::default()
    };
    for mount in list(described, "/volumeMounts") {
        let volume = list(pod, "/volumes").iter().find(|volume| volume["name"] == mount["name"]);
        let (Some(volume), folder) = (volume, text(mount, "/mountPath")) else { continue };
        let map = text(volume, "/configMap/name");
        for map in of_kind(objects, "ConfigMap").into_iter().filter(|object| name(object) == map) {
            for (file, text) in map["data"].as_object().unwrap() {
                container.files.insert(format!("{folder}/{file}"), text.as_str().unwrap().to_owned());
            }
        }
        if volume.get("secret").is_some() {
            let texts = container.environment.values().chain(container.files.values());
            let words = texts.flat_map(|text| text.split(['"', ' ', '\n'])).map(str::to_owned);
            let secrets: Vec<String> = words.filter(|word| word.starts_with(&format!("{folder}/"))).collect();
            assert!(!secrets.is_empty(), "{}: nothing is read from {folder}", container.name);
            container.secrets.extend(secrets);
        }
    }
    container
}

#[test]
fn everything_builds_and_the_last_three_versions_of_kubernetes_know_it() {
    for part in PARTS {
        assert!(!kustomize(part).is_empty(), "{part}");
    }
    for (path, objects) in overlays() {
        let mut names: Vec<String> = ours(&objects)
            .iter()
            .map(|object| format!("{} {}", text(object, "/kind"), name(object)))
            .collect();
        names.sort();
        let expected =
            ["Deployment console", "Job plan-1", "StatefulSet aggregator", "StatefulSet collector"];
        assert_eq!(names, expected, "{path}");
    }
}

/// The judges do judge: an object that is wrong in one thing each is refused, with that thing in the message.
#[test]
fn what_is_wrong_is_refused() {
    let right = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: { name: it }\nspec: { maxUnavailable: 1 }\n";
    let pod = "spec: { containers: [{ name: it, image: it }], securityContext: { runAsNonRoot: true } }";
    let wrong = [
        (right.replace("maxUnavailable", "maxUnavailabel"), "maxUnavailabel"),
        (right.replace("policy/v1", "policy/v1beta1"), "Kubernetes does not have it"),
        (
            "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: { name: it }\n\
             spec: { selector: {}, endpoint: [] }\n"
                .to_owned(),
            "endpoint",
        ),
        (
            format!(
                "apiVersion: batch/v1\nkind: Job\nmetadata: {{ name: it }}\n\
                 spec: {{ template: {{ {pod} }} }}\n"
            ),
            "allowPrivilegeEscalation",
        ),
    ];
    let refusal = |object: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("it.yaml"), object).unwrap();
        std::fs::write(folder.path().join("kustomization.yaml"), "resources: [it.yaml]\n").unwrap();
        tools::refusal(folder.path().to_str().unwrap())
    };
    assert_eq!(refusal(right), None);
    for (object, why) in wrong {
        let said = refusal(&object).unwrap_or_default();
        assert!(said.contains(why), "{why}: {said}\n{object}");
    }
}

#[test]
fn the_program_understands_every_container() {
    let mut problems = Vec::new();
    let drain = ("k8s/drain", kustomize("k8s/drain"));
    for (path, objects) in overlays().into_iter().chain([drain]) {
        for workload in ours(&objects) {
            let found = container(workload, &objects).problems();
            problems.extend(found.into_iter().map(|problem| format!("{path}: {problem}")));
        }
    }
    none(problems);
}

#[test]
fn ports_and_probes_are_those_of_the_program() {
    for (path, objects) in overlays() {
        for workload in ours(&objects) {
            let container = container(workload, &objects);
            let listens = container.listens();
            let described = &workload["spec"]["template"]["spec"]["containers"][0];
            let port = |name: &str| {
                let port = list(described, "/ports").iter().find(|port| text(port, "/name") == name)?;
                port["containerPort"].as_u64()
            };
            for (name, address) in [("http", listens.http), ("admin", listens.admin)] {
                let at = format!("{path}: {} {name}", container.name);
                assert_eq!(port(name), address.map(|address| u64::from(address.port())), "{at}");
                assert!(address.is_none_or(|address| address.ip().is_unspecified()), "{at}: {address:?}");
            }
            if listens.admin.is_none() {
                continue;
            }
            for (probe, asks) in
                [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
            {
                let get = &described[probe]["httpGet"];
                assert_eq!(
                    (text(get, "/path"), text(get, "/port")),
                    (asks, "admin"),
                    "{path}: {}",
                    container.name
                );
            }
        }
    }
}

#[test]
fn a_pod_has_longer_to_end_than_it_drains_and_that_is_longer_than_it_sleeps() {
    let drain_seconds = collector::limits::DRAIN_MS / 1_000;
    for (path, objects) in overlays() {
        for workload in ours(&objects).into_iter().filter(|workload| text(workload, "/kind") != "Job") {
            let pod = &workload["spec"]["template"]["spec"];
            let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
            let sleep = pod.pointer("/containers/0/lifecycle/preStop/sleep/seconds").and_then(Value::as_u64);
            let sleep = sleep.unwrap_or(0);
            assert!(sleep < drain_seconds, "{path}: {} sleeps {sleep} s", name(workload));
            assert!(grace > sleep + drain_seconds, "{path}: {} has {grace} s", name(workload));
        }
    }
}

#[test]
fn pods_do_little_and_ask_for_what_they_need() {
    let mut problems = Vec::new();
    for (path, objects) in overlays() {
        for workload in workloads(&objects) {
            let pod = &workload["spec"]["template"]["spec"];
            let at = format!("{path}: {}", name(workload));
            let container = &pod["containers"][0];
            let mut must = |holds: bool, what: &str| {
                if !holds {
                    problems.push(format!("{at}: {what}"));
                }
            };
            must(pod["automountServiceAccountToken"] == false, "has a token for Kubernetes");
            must(pod["enableServiceLinks"] == false, "has variables of Services");
            for pointer in
                ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"]
            {
                must(!text(container, pointer).is_empty(), pointer);
            }
            let (image, tag) = text(container, "/image").rsplit_once(':').unwrap_or_default();
            must(tag.split('.').count() >= 3, "its image is not pinned");
            if image.ends_with("rungs") {
                must(tag == env!("CARGO_PKG_VERSION"), "its image is not this version");
                must(
                    container.pointer("/securityContext/readOnlyRootFilesystem") == Some(&Value::Bool(true)),
                    "may write",
                );
                let writable =
                    list(container, "/volumeMounts").iter().filter(|mount| mount["readOnly"] != true);
                let writable: Vec<&str> = writable.map(|mount| text(mount, "/name")).collect();
                must(writable.is_empty() || writable == ["spill"], "may write to a volume");
            }
            let environment = list(container, "/env").iter();
            let passwords = environment.filter(|variable| {
                let name = text(variable, "/name");
                ["PASSWORD", "TOKEN"].iter().any(|word| name.ends_with(word))
            });
            must(passwords.count() == 0, "has a secret in its environment");
        }
    }
    none(problems);
}

#[test]
fn collectors_keep_their_volumes_and_aggregators_have_none() {
    for (path, objects) in overlays() {
        let set = |wanted: &str| {
            of_kind(&objects, "StatefulSet").into_iter().find(|set| name(set) == wanted).unwrap().clone()
        };
        let (collector, aggregator) = (set("collector"), set("aggregator"));
        for set in [&collector, &aggregator] {
            assert_eq!(text(set, "/spec/podManagementPolicy"), "Parallel", "{path}");
            let spread = list(set, "/spec/template/spec/topologySpreadConstraints");
            assert!(!spread.is_empty(), "{path}");
            assert!(spread.iter().all(|one| one["whenUnsatisfiable"] == "ScheduleAnyway"), "{path}");
        }
        let retained = &collector["spec"]["persistentVolumeClaimRetentionPolicy"];
        assert_eq!((&retained["whenDeleted"], &retained["whenScaled"]), (&"Retain".into(), &"Retain".into()));
        assert_eq!(list(&collector, "/spec/volumeClaimTemplates").len(), 1);
        let mount = &list(&collector, "/spec/template/spec/containers/0/volumeMounts");
        let spill = mount.iter().find(|mount| mount["name"] == "spill").unwrap();
        let described = container(&collector, &objects);
        assert_eq!(Some(text(spill, "/mountPath")), described.flag("--data-dir"), "{path}");
        assert_eq!(list(&aggregator, "/spec/volumeClaimTemplates").len(), 0);
        let variables = list(&aggregator, "/spec/template/spec/containers/0/env");
        let instance =
            variables.iter().find(|variable| variable["name"] == "RUNGS_KAFKA__INSTANCE_ID").unwrap();
        assert_eq!(text(instance, "/valueFrom/fieldRef/fieldPath"), "metadata.name");
    }
}

#[test]
fn a_spill_fits_its_volume_twice() {
    for (path, objects) in overlays() {
        let collector =
            of_kind(&objects, "StatefulSet").into_iter().find(|set| name(set) == "collector").unwrap();
        let asked = text(collector, "/spec/volumeClaimTemplates/0/spec/resources/requests/storage");
        let gibibytes: u64 = asked.trim_end_matches("Gi").parse().unwrap();
        let spill = container(collector, &objects).settings().unwrap().log.max_bytes;
        assert!(gibibytes << 30 >= 2 * spill, "{path}: {asked} for a spill of {spill} bytes");
    }
}

/// What an aggregator needs beside its journeys, and what a journey takes at most (docs/benchmarks.md).
const AGGREGATOR_BYTES: u64 = 900 << 20;
const JOURNEY_BYTES: u64 = 340;

#[test]
fn an_aggregator_stops_reading_before_its_memory_is_used_up() {
    for (path, objects) in overlays() {
        let sets = of_kind(&objects, "StatefulSet");
        let aggregator = sets.into_iter().find(|set| name(set) == "aggregator").unwrap();
        let limit = text(aggregator, "/spec/template/spec/containers/0/resources/limits/memory");
        let gibibytes: u64 = limit.trim_end_matches("Gi").parse().unwrap();
        let journeys = container(aggregator, &objects).settings().unwrap().aggregator.max_journeys as u64;
        let needed = AGGREGATOR_BYTES + journeys * JOURNEY_BYTES;
        assert!(
            gibibytes << 30 >= needed,
            "{path}: {limit} for {journeys} journeys, which take {needed} bytes"
        );
    }
}

#[test]
fn only_collectors_grow_by_themselves_and_nothing_shrinks_by_itself() {
    let prod = kustomize("k8s/overlays/prod");
    let scalers = of_kind(&prod, "HorizontalPodAutoscaler");
    assert_eq!(scalers.len(), 1);
    assert_eq!(text(scalers[0], "/spec/scaleTargetRef/name"), "collector");
    assert_eq!(text(scalers[0], "/spec/behavior/scaleDown/selectPolicy"), "Disabled");
    let collector = of_kind(&prod, "StatefulSet").into_iter().find(|set| name(set) == "collector").unwrap();
    assert!(collector["spec"].get("replicas").is_none(), "applying it again would undo the scaling");
}

#[test]
fn one_pod_at_a_time_may_be_evicted_where_there_are_several() {
    for (path, objects) in overlays() {
        let budgets = of_kind(&objects, "PodDisruptionBudget");
        for budget in &budgets {
            assert_eq!(budget["spec"]["maxUnavailable"], 1, "{path}");
            assert_eq!(text(budget, "/spec/unhealthyPodEvictionPolicy"), "AlwaysAllow", "{path}");
        }
        let scaled = of_kind(&objects, "HorizontalPodAutoscaler");
        let scaled: Vec<&str> =
            scaled.iter().map(|scaler| text(scaler, "/spec/scaleTargetRef/name")).collect();
        let several = |workload: &&Value| {
            scaled.contains(&name(workload)) || workload["spec"]["replicas"].as_u64().unwrap_or(1) > 1
        };
        let mut expected: Vec<&str> = workloads(&objects).into_iter().filter(several).map(name).collect();
        let mut found: Vec<&str> = budgets.into_iter().map(name).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{path}");
    }
}
