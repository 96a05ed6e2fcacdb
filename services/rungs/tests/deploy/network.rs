//! The NetworkPolicies of k8s/: nothing but what is named may talk, and what must talk may.

use serde_json::{Value, json};

use crate::kubernetes::{name, of_kind, ours, overlays};
use crate::references::{has_port, selected, selects};
use crate::tools::{kustomize, list, text};

/// The policies that hold for a workload's pods, in one direction.
fn rules<'a>(objects: &'a [Value], workload: &Value, direction: &str) -> Vec<&'a Value> {
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    let policies = of_kind(objects, "NetworkPolicy").into_iter();
    let policies = policies.filter(|policy| selects(&policy["spec"]["podSelector"], labels));
    policies.flat_map(|policy| list(policy, &format!("/spec/{direction}"))).collect()
}

/// Whether rules let a port through for a peer that fits.
fn lets(rules: &[&Value], peers: &str, port: &Value, fits: impl Fn(&Value) -> bool) -> bool {
    rules.iter().any(|rule| {
        list(rule, peers).iter().any(&fits) && list(rule, "/ports").iter().any(|known| known["port"] == *port)
    })
}

#[test]
fn whoever_is_not_named_is_kept_out_and_in() {
    for (path, objects) in overlays() {
        let deny =
            of_kind(&objects, "NetworkPolicy").into_iter().find(|policy| name(policy) == "default-deny");
        assert_eq!(
            deny.unwrap()["spec"],
            json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
            "{path}"
        );
        for policy in of_kind(&objects, "NetworkPolicy") {
            for rule in list(policy, "/spec/ingress").iter().chain(list(policy, "/spec/egress")) {
                let named = ["/from", "/to"].iter().any(|peers| !list(rule, peers).is_empty());
                assert!(
                    named && !list(rule, "/ports").is_empty(),
                    "{path}: {} lets all: {rule}",
                    name(policy)
                );
            }
        }
    }
}

#[test]
fn a_port_that_a_policy_names_is_one_of_the_pods_it_is_for() {
    for (path, objects) in overlays() {
        for policy in of_kind(&objects, "NetworkPolicy") {
            let pods = selected(&policy["spec"]["podSelector"], &objects);
            assert!(!pods.is_empty(), "{path}: {} is for nobody", name(policy));
            for rule in list(policy, "/spec/ingress") {
                for port in list(rule, "/ports") {
                    let port = &port["port"];
                    assert!(pods.iter().all(|pod| has_port(pod, port)), "{path}: {}: {port}", name(policy));
                }
            }
        }
    }
}

#[test]
fn services_reach_names_kafka_and_clickhouse_and_prometheus_reaches_them() {
    for (path, objects) in overlays() {
        let settings = crate::kubernetes::container(ours(&objects)[0], &objects).settings().unwrap();
        let brokers = settings.kafka.brokers.unwrap();
        let kafka: u16 = brokers.rsplit_once(':').unwrap().1.parse().unwrap();
        let url: reqwest::Url = settings.clickhouse.url.unwrap().parse().unwrap();
        let clickhouse = url.port_or_known_default().unwrap();
        for workload in ours(&objects) {
            let at = format!("{path}: {}", name(workload));
            let out = rules(&objects, workload, "egress");
            assert!(lets(&out, "/to", &json!(53), |_| true), "{at}: names");
            assert!(lets(&out, "/to", &json!(kafka), |_| true), "{at}: Kafka");
            if text(workload, "/kind") == "Job" {
                continue;
            }
            assert!(lets(&out, "/to", &json!(clickhouse), |_| true), "{at}: ClickHouse");
            let into = rules(&objects, workload, "ingress");
            let monitoring = |peer: &Value| {
                text(peer, "/namespaceSelector/matchLabels/kubernetes.io~1metadata.name") == "monitoring"
            };
            assert!(lets(&into, "/from", &json!("admin"), monitoring), "{at}: Prometheus");
        }
    }
}

#[test]
fn only_an_ingress_brings_requests_from_outside() {
    let prod = kustomize("k8s/overlays/prod");
    for workload in ours(&prod) {
        let open = lets(&rules(&prod, workload, "ingress"), "/from", &json!("http"), |_| true);
        assert_eq!(open, ["collector", "console"].contains(&name(workload)), "{}", name(workload));
    }
}
