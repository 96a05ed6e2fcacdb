//! The plan topic of the local log: a keyspace of its own, key = number (big endian), value = checksum u64 (xxh3 of
//! what follows), applied-at i64, text. The last 100 are kept. Each append is fsynced by the caller's thread.

use std::sync::{Arc, PoisonError};

use bytes::{Buf, BufMut};
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

use super::LocalLog;
use super::database::Durability;
use super::store::Store;
use crate::{PlanError, PlanRecord, PlanTopic, ReadError};

/// How many plans the topic keeps.
const KEPT: usize = 100;

/// All plans, oldest first.
fn all(store: &Store) -> Result<Vec<PlanRecord>, String> {
    let plans = store.plans.iter().map(|guard| {
        let (key, value) = guard.into_inner().map_err(|cause| cause.to_string())?;
        decode(&key, &value).ok_or_else(|| format!("the stored plan with key {key:?} is damaged"))
    });
    plans.collect()
}

/// The plan with the largest number.
pub(super) fn latest(store: &Store) -> Result<Option<PlanRecord>, String> {
    Ok(all(store)?.pop())
}

fn encode(plan: &PlanRecord) -> Vec<u8> {
    let mut value = vec![0; 8];
    value.put_i64_le(plan.applied_at_ms);
    value.put_slice(plan.text.as_bytes());
    let checksum = xxh3_64(value.get(8..).unwrap_or_default());
    value.as_mut_slice().put_u64_le(checksum);
    value
}

fn decode(mut key: &[u8], mut value: &[u8]) -> Option<PlanRecord> {
    let number = key.try_get_u64().ok()?;
    let checksum = value.try_get_u64_le().ok()?;
    if xxh3_64(value) != checksum {
        return None;
    }
    let applied_at_ms = value.try_get_i64_le().ok()?;
    Some(PlanRecord { number, applied_at_ms, text: String::from_utf8(value.to_vec()).ok()? })
}

fn store_plan(store: &Store, plan: &PlanRecord) -> Result<(), String> {
    let kept = all(store)?;
    let surplus = (kept.len() + 1).saturating_sub(KEPT);
    replace(store, kept.get(..surplus).unwrap_or_default(), plan)
}

fn store_only(store: &Store, plan: &PlanRecord) -> Result<(), String> {
    replace(store, &all(store)?, plan)
}

/// Stores a plan and removes others, at once.
fn replace(store: &Store, others: &[PlanRecord], plan: &PlanRecord) -> Result<(), String> {
    let stored = store.database.commit(Durability::PowerCut, |batch| {
        for old in others {
            batch.remove(&store.plans, old.number.to_be_bytes());
        }
        batch.insert(&store.plans, plan.number.to_be_bytes(), encode(plan));
    });
    stored.map_err(super::database::CommitError::cause)
}

impl LocalLog {
    /// Keeps a plan in place of all that are stored, whatever their numbers: for a copy of what another topic says. Blocks on
    /// the disk.
    pub fn keep_plan(&self, plan: PlanRecord) -> Result<(), PlanError> {
        let _one_at_a_time = self.plan_appends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(cause) = self.shared.with_store(|store| store_only(store, &plan)) {
            self.shared.queue.nudge();
            return Err(PlanError::Storage(cause));
        }
        self.shared.latest_plan.send_replace(Some(Arc::new(plan)));
        Ok(())
    }
}

impl PlanTopic for LocalLog {
    fn append(&self, plan: PlanRecord) -> Result<(), PlanError> {
        let _one_at_a_time = self.plan_appends.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = self.shared.latest_plan.borrow().as_ref().map_or(0, |latest| latest.number);
        if plan.number <= latest {
            return Err(PlanError::Outdated { number: plan.number, latest });
        }
        if let Err(cause) = self.shared.with_store(|store| store_plan(store, &plan)) {
            // The writer thread reopens the storage.
            self.shared.queue.nudge();
            return Err(PlanError::Storage(cause));
        }
        self.shared.latest_plan.send_replace(Some(Arc::new(plan)));
        Ok(())
    }

    fn latest(&self) -> watch::Receiver<Option<Arc<PlanRecord>>> {
        self.shared.latest_plan.subscribe()
    }

    fn history(&self) -> Result<Vec<PlanRecord>, ReadError> {
        self.shared.with_store(all).map_err(ReadError::Storage)
    }
}
