//! The consumer group: who serves which partition. Partitions change hands in order, or are taken from a member that
//! does not notice and goes on; members crash, with an insert on its way or without, and come back.

use crate::fate::Fate;
use crate::partition_life::{Life, Surroundings};

/// Aggregator processes and the lives of partitions in them.
pub struct Group {
    around: Surroundings,
    fate: Fate,
    /// By how much each process's clock is wrong; `None` while it is down.
    members: Vec<Option<i64>>,
    /// The number of the life that serves each partition.
    owners: Vec<Option<u64>>,
    /// By number: those of owners, of members that lost their partition, and what is left of ended ones.
    pub lives: Vec<(u64, Life)>,
    begun: u64,
}

impl Group {
    /// All members are up, and nothing is assigned.
    pub fn new(around: Surroundings) -> Self {
        let members = vec![Some(0); around.weather.members];
        let owners = vec![None; around.weather.partitions as usize];
        Self { fate: around.fate.clone(), around, members, owners, lives: Vec::new(), begun: 0 }
    }

    /// Assigns what nobody serves.
    pub fn assign(&mut self) {
        for partition in 0..self.owners.len() {
            if self.owners[partition].is_some() {
                continue;
            }
            let here = |member: &usize| {
                self.lives
                    .iter()
                    .any(|(_, life)| life.member == *member && life.partition == partition as u32)
            };
            // A process serves a partition again only after its former life there has ended.
            let free: Vec<usize> = (0..self.members.len())
                .filter(|member| self.members[*member].is_some() && !here(member))
                .collect();
            if free.is_empty() {
                continue;
            }
            let member = *self.fate.pick(&free);
            self.begun += 1;
            self.fate
                .say(|| format!("group: member {member} gets partition {partition}, life {}", self.begun));
            self.owners[partition] = Some(self.begun);
            self.lives.push((self.begun, Life::begin(&self.around, member, partition as u32, self.begun)));
        }
    }

    /// A step of one life.
    pub fn step(&mut self) {
        self.lives.retain(|(_, life)| !life.is_over());
        for owner in &mut self.owners {
            // An owner that gave its partition back is over.
            if owner.is_some_and(|number| !self.lives.iter().any(|(known, _)| *known == number)) {
                *owner = None;
            }
        }
        if self.lives.is_empty() {
            return self.assign();
        }
        let at = self.fate.below(self.lives.len() as u64) as usize;
        let wall_ms = self.wall_ms(self.lives[at].1.member);
        self.lives[at].1.step(wall_ms);
    }

    /// A process's own clock.
    fn wall_ms(&self, member: usize) -> i64 {
        self.fate.now_ms() + self.members[member].unwrap_or(0)
    }

    /// Sets a process's clock wrong by so much.
    pub fn set_clock(&mut self, skew_ms: i64) {
        let member = self.fate.below(self.members.len() as u64) as usize;
        if let Some(skew) = &mut self.members[member] {
            *skew = skew_ms;
            self.fate.say(|| format!("member {member}: its clock is wrong by {skew_ms} ms"));
        }
    }

    /// A partition changes hands: its owner gives it back, or does not notice that it lost it.
    pub fn rebalance(&mut self) {
        let partition = self.fate.below(self.owners.len() as u64) as usize;
        let Some(owner) = self.owners[partition] else { return self.assign() };
        let up = self.members.iter().flatten().count();
        if up > 1 && self.fate.percent(60) {
            self.fate.say(|| format!("group: partition {partition} is lost to life {owner}, which goes on"));
            self.fate.note("a member went on without its partition");
            self.owners[partition] = None;
            return self.assign();
        }
        self.fate.say(|| format!("group: partition {partition} is given back by life {owner}"));
        self.fate.note("a partition was given back");
        let Some(at) = self.lives.iter().position(|(number, _)| *number == owner) else { return };
        let wall_ms = self.wall_ms(self.lives[at].1.member);
        self.lives[at].1.finish(wall_ms);
    }

    /// Members learn what they lost: such a life ends without a flush, after what is in its queue.
    pub fn notice(&mut self) {
        let owners = self.owners.clone();
        for (number, life) in &mut self.lives {
            if owners[life.partition as usize] != Some(*number) {
                self.fate.say(|| format!("{}: learns that it lost it", life.name));
                life.abandon(u64::MAX);
            }
        }
    }

    /// A process ends at once. An insert that it sent may still be carried out.
    pub fn crash(&mut self) {
        let member = self.fate.below(self.members.len() as u64) as usize;
        if self.members[member].take().is_none() {
            self.members[member] = Some(0);
            self.fate.say(|| format!("member {member}: starts"));
            return self.assign();
        }
        self.fate.say(|| format!("member {member}: crashes"));
        self.fate.note("a member crashed");
        for (number, life) in self.lives.iter_mut().filter(|(_, life)| life.member == member) {
            if let Some(owner) = self.owners.iter_mut().find(|owner| **owner == Some(*number)) {
                *owner = None;
            }
            life.abandon(self.fate.below(4));
        }
        self.lives.retain(|(_, life)| !life.is_over());
        self.assign();
    }

    /// Everybody is up, on time, and nobody serves what another owns.
    pub fn calm_down(&mut self) {
        self.members.iter_mut().for_each(|member| *member = Some(0));
        self.notice();
    }

    /// The life that serves a partition.
    pub fn owner(&mut self, partition: u32) -> Option<&mut Life> {
        let number = self.owners[partition as usize]?;
        self.lives.iter_mut().find(|(known, _)| *known == number).map(|(_, life)| life)
    }

    /// Whether every partition is served by one life, and none is left beside.
    pub fn is_settled(&self) -> bool {
        self.owners.iter().all(Option::is_some) && self.lives.len() == self.owners.len()
    }
}
