//! What objects of k8s/ say of each other: a Service finds pods, a port has that name, a backend, a volume, a scaled
//! set exist.

use serde_json::Value;

use crate::kubernetes::{name, of_kind, overlays, workloads};
use crate::none;
use crate::tools::{kustomize, list, text};

/// Whether a label selector (`matchLabels`, `matchExpressions` with `In`, or the bare labels of a Service) selects labels.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let bare = selector.get("matchLabels").is_none() && selector.get("matchExpressions").is_none();
    let wanted = if bare { Some(selector) } else { selector.get("matchLabels") };
    let equal = |(key, value): (&String, &Value)| labels.get(key) == Some(value);
    let one_of = |expression: &Value| {
        assert_eq!(text(expression, "/operator"), "In");
        list(expression, "/values").contains(&labels[text(expression, "/key")])
    };
    wanted.and_then(Value::as_object).is_none_or(|wanted| wanted.iter().all(equal))
        && list(selector, "/matchExpressions").iter().all(one_of)
}

/// The workloads whose pods a selector selects.
pub(crate) fn selected<'a>(selector: &Value, objects: &'a [Value]) -> Vec<&'a Value> {
    let labels = |workload: &Value| workload["spec"]["template"]["metadata"]["labels"].clone();
    workloads(objects).into_iter().filter(|workload| selects(selector, &labels(workload))).collect()
}

/// Whether a pod has a port of this name or number.
pub(crate) fn has_port(workload: &Value, port: &Value) -> bool {
    let ports = list(workload, "/spec/template/spec/containers/0/ports");
    ports.iter().any(|known| known["name"] == *port || known["containerPort"] == *port)
}

/// The Service port that a backend (`name`, `port` by name or number) means.
fn is_served(objects: &[Value], service: &str, port: &Value) -> bool {
    let service = of_kind(objects, "Service").into_iter().find(|object| name(object) == service);
    service.is_some_and(|service| {
        list(service, "/spec/ports").iter().any(|known| known["name"] == *port || known["port"] == *port)
    })
}

#[test]
fn services_find_pods_that_have_their_ports() {
    let mut problems = Vec::new();
    for (path, objects) in overlays() {
        for service in of_kind(&objects, "Service") {
            let pods = selected(&service["spec"]["selector"], &objects);
            if pods.len() != 1 {
                problems.push(format!("{path}: Service {} selects {} workloads", name(service), pods.len()));
            }
            for port in list(service, "/spec/ports") {
                if !pods.iter().all(|pod| has_port(pod, &port["targetPort"])) {
                    problems.push(format!("{path}: Service {}: {port}", name(service)));
                }
            }
        }
        for set in of_kind(&objects, "StatefulSet") {
            let governing = text(set, "/spec/serviceName");
            if !of_kind(&objects, "Service").iter().any(|service| name(service) == governing) {
                problems.push(format!("{path}: there is no Service {governing}"));
            }
        }
    }
    none(problems);
}

#[test]
fn selectors_select_what_they_are_for() {
    let mut problems = Vec::new();
    for (path, objects) in overlays() {
        for kind in ["PodDisruptionBudget", "StatefulSet", "Deployment"] {
            for object in of_kind(&objects, kind) {
                let found: Vec<&str> =
                    selected(&object["spec"]["selector"], &objects).into_iter().map(name).collect();
                if found != [name(object)] {
                    problems.push(format!("{path}: {kind} {} selects {found:?}", name(object)));
                }
            }
        }
    }
    none(problems);
}

#[test]
fn what_is_mounted_is_a_volume_and_config_maps_exist() {
    let mut problems = Vec::new();
    for (path, objects) in overlays() {
        for workload in workloads(&objects) {
            let pod = &workload["spec"]["template"]["spec"];
            let claims = list(workload, "/spec/volumeClaimTemplates").iter().map(name);
            let volumes = list(pod, "/volumes").iter().map(|volume| text(volume, "/name"));
            let known: Vec<&str> = claims.chain(volumes).collect();
            for mount in list(pod, "/containers/0/volumeMounts") {
                if !known.contains(&text(mount, "/name")) {
                    problems.push(format!("{path}: {}: {mount}", name(workload)));
                }
            }
            for volume in list(pod, "/volumes").iter().filter(|volume| volume.get("configMap").is_some()) {
                let map = text(volume, "/configMap/name");
                if !of_kind(&objects, "ConfigMap").iter().any(|object| name(object) == map) {
                    problems.push(format!("{path}: {}: there is no ConfigMap {map}", name(workload)));
                }
            }
        }
    }
    none(problems);
}

#[test]
fn whoever_comes_from_outside_comes_by_tls_to_a_service_that_exists() {
    let prod = kustomize("k8s/overlays/prod");
    let mut backends = Vec::new();
    for ingress in of_kind(&prod, "Ingress") {
        let hosts = list(ingress, "/spec/tls").iter().flat_map(|tls| list(tls, "/hosts"));
        let hosts: Vec<&Value> = hosts.collect();
        for rule in list(ingress, "/spec/rules") {
            assert!(hosts.contains(&&rule["host"]), "{} is not encrypted", rule["host"]);
            for path in list(rule, "/http/paths") {
                let service = &path["backend"]["service"];
                assert!(is_served(&prod, text(service, "/name"), &service["port"]["name"]), "{service}");
                backends.push(text(service, "/name").to_owned());
            }
        }
    }
    assert_eq!(backends, ["collector", "console"]);
    let gateway = kustomize("k8s/components/gateway");
    let listeners = list(of_kind(&gateway, "Gateway")[0], "/spec/listeners");
    for route in of_kind(&gateway, "HTTPRoute") {
        let section = text(route, "/spec/parentRefs/0/sectionName");
        let listener = listeners.iter().find(|listener| text(listener, "/name") == section).unwrap();
        let backends: Vec<&Value> =
            list(route, "/spec/rules").iter().flat_map(|rule| list(rule, "/backendRefs")).collect();
        assert!(backends.is_empty() || text(listener, "/tls/mode") == "Terminate", "{section}");
        for backend in backends {
            assert!(is_served(&prod, text(backend, "/name"), &backend["port"]), "{backend}");
        }
    }
}

#[test]
fn the_secrets_that_pods_mount_are_told_how_to_make() {
    let told = std::fs::read_to_string(crate::program::root().join("docs/operations.md")).unwrap();
    for object in workloads(&kustomize("k8s/overlays/prod")) {
        for volume in list(object, "/spec/template/spec/volumes") {
            let secret = text(volume, "/secret/secretName");
            let command = format!("create secret generic {secret}");
            assert!(
                secret.is_empty() || told.contains(&command),
                "docs/operations.md does not tell: {command}"
            );
        }
    }
}
