//! A set of links as counting uses it: for which visitor an event counts, by hashes. Builds from raw ask it for each event
//! of a site that joins ids, lanes for each event of the log; for other sites it is empty.

use rustc_hash::FxHashMap;

use super::placeholder::is_placeholder;
use crate::intake::visitor_hash;

/// The visitor that an event counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// Hash of the id that they go by.
    pub visitor: u128,
    /// The partition of that id, which counts them.
    pub partition: u32,
}

/// For whom an event counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// For its own id, which is joined with no other.
    Own,
    Person(Person),
    /// For a second user of a shared device whom the set does not know yet.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    /// Hash of the user id that it is linked to; 0 for none.
    user: u128,
    person: Person,
}

/// Ids of a site that are joined, as far as a partition has to do with them.
#[derive(Debug, Clone, Default)]
pub struct Joined {
    members: FxHashMap<u128, Member>,
    seconds: FxHashMap<u128, Person>,
}

impl Joined {
    /// Adds what a link says, by the hashes of its id and its user (0 for none).
    pub fn add(&mut self, id: u128, user: u128, is_second: bool, person: Person) {
        match is_second {
            true => drop(self.seconds.insert(pair(id, user), person)),
            false => drop(self.members.insert(id, Member { user, person })),
        }
    }

    /// Whether nobody is joined.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Ids, and pairs of an id with a second user.
    pub fn len(&self) -> usize {
        self.members.len() + self.seconds.len()
    }

    /// For whom an event of a visitor counts that names this user (or nobody).
    pub fn whose(&self, visitor: u128, user_id: &str) -> Whose {
        let Some(member) = self.members.get(&visitor) else { return Whose::Own };
        if user_id.is_empty() || member.user == 0 || is_placeholder(user_id) {
            return Whose::Person(member.person);
        }
        let user = visitor_hash(user_id);
        if user == member.user || user == visitor {
            return Whose::Person(member.person);
        }
        self.seconds.get(&pair(visitor, user)).map_or(Whose::Unknown, |person| Whose::Person(*person))
    }

    /// The visitor that an event counts for where all partitions are looked at together: a second user whom the set does not
    /// know on this device goes by the id that it knows them by.
    pub fn visitor(&self, visitor: u128, user_id: &str) -> u128 {
        match self.whose(visitor, user_id) {
            Whose::Own => visitor,
            Whose::Person(person) => person.visitor,
            Whose::Unknown => {
                let user = visitor_hash(user_id);
                self.members.get(&user).map_or(user, |member| member.person.visitor)
            }
        }
    }

    /// Whether an event of the log waits for the next build: it counts for another id than its own.
    pub fn waits(&self, visitor: u128, user_id: &str) -> bool {
        !self.is_empty()
            && match self.whose(visitor, user_id) {
                Whose::Own => false,
                Whose::Person(person) => person.visitor != visitor,
                Whose::Unknown => true,
            }
    }
}

fn pair(id: u128, user: u128) -> u128 {
    id.rotate_left(1) ^ user
}
