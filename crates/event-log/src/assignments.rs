//! Which partitions a process is to serve, as it changes: told by [`Source::assignments`](crate::Source::assignments).
//!
//! A process of a consumer group is given partitions and must give them back; a local log's process owns all for ever.
//! Giving back waits until the owner flushed what it has of the partitions, but not for ever, because the whole group
//! waits: an owner that is too slow becomes a second owner for a while, which changes no number.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc;

/// Changes that wait for the owner, at most; a group changes one at a time.
pub(crate) const WAITING: usize = 16;

/// A change of what this process is to serve.
#[derive(Debug)]
pub enum Assignment {
    /// These partitions are to be served from now on, beside those before.
    Assigned(Vec<u32>),
    /// These are to be given back: flush them, stop serving them, then acknowledge.
    Revoked {
        /// The partitions.
        partitions: Vec<u32>,
        /// Another process may have them already: this one was away for too long.
        lost: bool,
        /// To be called when they are not served any more.
        acknowledgement: Acknowledgement,
    },
}

/// Tells the group that the revoked partitions are not served any more. Dropping it tells the same.
#[derive(Debug)]
pub struct Acknowledgement(SyncSender<()>);

impl Acknowledgement {
    /// An acknowledgement and whoever waits for it.
    pub fn pending() -> (Self, Acknowledged) {
        let (sender, receiver) = sync_channel(1);
        (Self(sender), Acknowledged(receiver))
    }

    /// The partitions are flushed and not served any more.
    pub fn acknowledge(self) {
        // A group that waited for too long is not interested any more.
        let _ = self.0.send(());
    }
}

/// The group's side of an [`Acknowledgement`].
#[derive(Debug)]
pub struct Acknowledged(Receiver<()>);

impl Acknowledged {
    /// Waits for it, at most for `limit`; whether it came.
    pub fn wait(&self, limit: Duration) -> bool {
        !matches!(self.0.recv_timeout(limit), Err(RecvTimeoutError::Timeout))
    }
}

/// All partitions, for ever: the channel tells this and ends.
pub(crate) fn all(partitions: u32) -> mpsc::Receiver<Assignment> {
    let (sender, receiver) = mpsc::channel(WAITING);
    // An empty channel has room for one.
    drop(sender.try_send(Assignment::Assigned((0..partitions).collect())));
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_waits_for_its_acknowledgement_and_not_for_an_owner_that_is_gone() {
        let (acknowledgement, waiting) = Acknowledgement::pending();
        assert!(!waiting.wait(Duration::from_millis(5)));
        acknowledgement.acknowledge();
        assert!(waiting.wait(Duration::from_secs(5)));
        let (acknowledgement, waiting) = Acknowledgement::pending();
        drop(acknowledgement);
        assert!(waiting.wait(Duration::from_secs(5)));
    }

    #[test]
    fn who_owns_all_is_told_once() {
        let mut assignments = all(3);
        assert!(
            matches!(assignments.try_recv(), Ok(Assignment::Assigned(partitions)) if partitions == [0, 1, 2])
        );
        assert!(matches!(assignments.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
    }
}
