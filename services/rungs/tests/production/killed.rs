//! `kill -9` at random moments while clients send.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cluster::Cluster;
use crate::judge::Truth;
use crate::load::{Load, Pace};
use crate::program::sending::now_ms;
use crate::{SHOP, alone, number, seed};

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Collector,
    Aggregator,
    Broker,
    ClickHouse,
}

const VICTIMS: [Victim; 4] = [Victim::Collector, Victim::Aggregator, Victim::Broker, Victim::ClickHouse];
/// At most this long after a victim is whole again, the next one is killed.
const UP_MS: u64 = 2_000;
/// A victim is started again after at most this long.
const DOWN_MS: u64 = 1_500;

impl Cluster {
    fn kill(&mut self, victim: Victim, random: &mut StdRng) -> u32 {
        let instance = random.random_range(0..2);
        match victim {
            Victim::Collector => self.collector.kill(),
            Victim::Aggregator => self.aggregators.get_mut(&instance).unwrap().kill(),
            Victim::Broker => self.kafka.kill(0),
            Victim::ClickHouse => self.clickhouse.kill(),
        }
        instance
    }

    fn restart(&mut self, victim: Victim, instance: u32) {
        match victim {
            Victim::Collector => self.collector.start(),
            Victim::Aggregator => self.aggregators.get_mut(&instance).unwrap().start(),
            Victim::Broker => self.kafka.restart(0),
            Victim::ClickHouse => self.clickhouse.start(),
        }
    }
}

#[test]
fn kills_of_any_part_at_any_moment_lose_nothing_and_count_nothing_twice() {
    let _alone = alone();
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(SHOP, 2);
    let history_since_ms = now_ms();
    let load = Load::start(cluster.collector.address("--listen"), Pace::STEADY, seed);
    load.until_more(500);
    for round in 0..number("RUNGS_FAULT_ROUNDS", 2) {
        for victim in VICTIMS {
            std::thread::sleep(Duration::from_millis(random.random_range(0..UP_MS)));
            let killed = Instant::now();
            let instance = cluster.kill(victim, &mut random);
            std::thread::sleep(Duration::from_millis(random.random_range(0..DOWN_MS)));
            let restarting = Instant::now();
            cluster.restart(victim, instance);
            let up = restarting.elapsed();
            load.until_more(1);
            cluster.until_whole(&load);
            println!(
                "  round {round}, {victim:?} killed: started again in {:.1} s, everything whole {:.1} s after the kill",
                up.as_secs_f64(),
                killed.elapsed().as_secs_f64()
            );
        }
    }
    let acknowledged = load.stop();
    cluster.judge(&Truth { plan: SHOP, acknowledged, others: 0, history_since_ms });
    cluster.stop();
}
