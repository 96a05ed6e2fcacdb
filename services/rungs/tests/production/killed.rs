//! `kill -9` at random moments while clients send.

use std::time::{Duration, Instant};

use event_log::kafka::SESSION_TIMEOUT_MS;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use runtime::now_ms;

use crate::cluster::Cluster;
use crate::judge::Truth;
use crate::load::{Load, Pace};
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
/// A broker stays away for longer than the members of its group may be silent, every other time.
const BROKER_DOWN_MS: u64 = SESSION_TIMEOUT_MS + 1_000;

impl Cluster {
    /// Kills one of the victims of this kind, and says which.
    fn kill(&mut self, victim: Victim, random: &mut StdRng) -> usize {
        let instance = match victim {
            Victim::Broker => random.random_range(0..self.kafka.brokers()),
            Victim::Aggregator => random.random_range(0..self.aggregators.len()),
            Victim::Collector | Victim::ClickHouse => 0,
        };
        match victim {
            Victim::Collector => self.collector.kill(),
            Victim::Aggregator => self.aggregators.get_mut(&(instance as u32)).unwrap().kill(),
            Victim::Broker => self.kafka.kill(instance),
            Victim::ClickHouse => self.clickhouse.kill(),
        }
        instance
    }

    fn restart(&mut self, victim: Victim, instance: usize) {
        match victim {
            Victim::Collector => self.collector.start(),
            Victim::Aggregator => self.aggregators.get_mut(&(instance as u32)).unwrap().start(),
            Victim::Broker => self.kafka.restart(instance),
            Victim::ClickHouse => self.clickhouse.start(),
        }
    }
}

#[test]
fn kills_of_any_part_at_any_moment_lose_nothing_and_count_nothing_twice() {
    let _alone = alone();
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let brokers = number("RUNGS_FAULT_BROKERS", 1) as usize;
    let mut cluster = Cluster::start_on_brokers(brokers, SHOP, 2);
    let others = cluster.load_visitors();
    let history_since_ms = now_ms();
    let load = Load::start(cluster.collector.address("--listen"), Pace::STEADY, seed);
    load.until_more(500);
    for round in 0..number("RUNGS_FAULT_ROUNDS", 4) {
        for victim in VICTIMS {
            std::thread::sleep(Duration::from_millis(random.random_range(0..UP_MS)));
            let killed = Instant::now();
            let instance = cluster.kill(victim, &mut random);
            let down_ms = match victim {
                Victim::Broker if round % 2 == 1 => BROKER_DOWN_MS,
                _ => random.random_range(0..DOWN_MS),
            };
            std::thread::sleep(Duration::from_millis(down_ms));
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
    cluster.judge(&Truth { plan: SHOP, acknowledged, others, history_since_ms });
    cluster.stop();
}
