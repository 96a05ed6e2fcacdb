//! A broker that is reached with TLS and SASL/SCRAM only.

use runtime::now_ms;

use crate::cluster::Cluster;
use crate::judge::Truth;
use crate::load::{Load, Pace};
use crate::{SHOP, alone, seed};

#[test]
fn every_service_reaches_a_broker_with_tls_and_scram() {
    let _alone = alone();
    let mut cluster = Cluster::start_secured(SHOP, 2);
    let history_since_ms = now_ms();
    let load = Load::start(cluster.collector.address("--listen"), Pace::STEADY, seed());
    load.until_more(1_000);
    cluster.until_whole(&load);
    let acknowledged = load.stop();
    cluster.judge(&Truth { plan: SHOP, acknowledged, others: 0, history_since_ms });
    cluster.stop();
}
