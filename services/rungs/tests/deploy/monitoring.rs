//! What Prometheus is told in Kubernetes: the rules of observability/prometheus/rules, and every service's metrics.

use crate::kubernetes::of_kind;
use crate::program::root;
use crate::references::selects;
use crate::tools::{kustomize, list, text};

const RULES: &str = "k8s/components/monitoring/rules.yaml";

/// The rule files as objects of the Prometheus operator.
fn expected() -> String {
    let folder = root().join("observability/prometheus/rules");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yml"));
    files.sort();
    let objects = files.iter().map(|file| {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let indent = |line: &str| if line.is_empty() { String::new() } else { format!("  {line}") };
        let groups: Vec<String> = text.lines().map(indent).collect();
        format!(
            "# Made from observability/prometheus/rules/{name}.yml; change that one.\n\
             apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: rungs-{name}\n  \
             labels: {{ app.kubernetes.io/part-of: rungs }}\nspec:\n{}\n",
            groups.join("\n")
        )
    });
    objects.collect::<Vec<_>>().join("---\n")
}

#[test]
fn the_operator_gets_the_rules_that_were_tested() {
    let (file, expected) = (root().join(RULES), expected());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let found = std::fs::read_to_string(file).unwrap();
    assert!(
        found == expected,
        "{RULES} lags behind observability/prometheus/rules (UPDATE_DOCS=1 writes it)"
    );
}

#[test]
fn every_service_is_scraped_on_its_admin_port() {
    let prod = kustomize("k8s/overlays/prod");
    let monitor = of_kind(&prod, "ServiceMonitor")[0];
    let port = &list(monitor, "/spec/endpoints")[0]["port"];
    let services = of_kind(&prod, "Service").into_iter().filter(|service| {
        selects(&monitor["spec"]["selector"], &service["metadata"]["labels"])
            && list(service, "/spec/ports").iter().any(|known| known["name"] == *port)
    });
    let mut components: Vec<&str> =
        services.map(|service| text(service, "/spec/selector/app.kubernetes.io~1component")).collect();
    components.sort_unstable();
    assert_eq!(components, ["aggregator", "collector", "console"]);
}
