//! The rule by which ids are joined, over what the raw events of a site say. Called by the aggregator that makes a set of
//! links.
//!
//! 1. An id that names nobody ([`super::placeholder`]) links nothing.
//! 2. Neither does one that comes with [`MAX_IDS_OF_A_VISITOR`] other ids or more: a word that the table does not know, a
//!    device in a shop. It is read as if it were not there.
//! 3. An id is linked to the **first** user id that it came with, and to no other: the second user of a shared device stays
//!    apart, and the events that name them are theirs.
//! 4. Ids that are linked, over however many links, are one visitor; but if these are more than
//!    [`MAX_IDS_OF_A_VISITOR`], they all stay apart.
//! 5. The visitor goes by the id that was seen last: its events go on counting live.

use std::collections::{HashMap, HashSet};

use super::placeholder::is_placeholder;

/// Ids that are one visitor, at most.
pub const MAX_IDS_OF_A_VISITOR: usize = 100;

/// An id of the site's events and the user ids that it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companions {
    /// A visitor's id, or an alias's `previousId`.
    pub id: String,
    /// When it was seen last in an event of its own that names a user, UTC milliseconds; 0 where there is none.
    pub last_seen_ms: i64,
    /// Each once, the first one first. More than [`MAX_IDS_OF_A_VISITOR`] need not be told.
    pub users: Vec<String>,
}

/// What the rule says of an id, or of an id together with a user id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    pub id: String,
    /// The user id that it is linked to; empty where others are linked to it alone.
    pub user: String,
    /// Whether this is about the id's events that name `user`, who is not whom the id is linked to.
    pub is_second: bool,
    /// The id that the visitor goes by.
    pub person: String,
}

/// Ids that stay apart although they came with a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Apart {
    /// Came with too many others.
    pub common: usize,
    /// Would have been a visitor of too many ids.
    pub crowded: usize,
}

/// The rule's outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    pub links: Vec<Link>,
    pub apart: Apart,
}

/// Joins ids by the rule; each id stands once in `seen`, in whatever order.
pub fn join(seen: &[Companions]) -> Links {
    let common = Common::of(seen);
    let mut graph = Graph::default();
    let firsts: Vec<Option<&str>> = seen.iter().map(|id| common.first_user(id)).collect();
    for (id, user) in seen.iter().zip(&firsts) {
        if let Some(user) = user {
            graph.link(&id.id, user);
        }
    }
    let (groups, crowded) = graph.groups();
    let persons = persons(seen, &groups);
    let person_of = |id: &str| groups.get(id).and_then(|group| persons.get(group)).copied();
    let mut links = Vec::new();
    for (id, user) in seen.iter().zip(&firsts) {
        let Some(person) = person_of(&id.id) else { continue };
        let link = |user: &str, is_second, person: &str| Link {
            id: id.id.clone(),
            user: user.to_owned(),
            is_second,
            person: person.to_owned(),
        };
        links.push(link(user.unwrap_or_default(), false, person));
        let Some(first) = *user else { continue };
        let others = id.users.iter().map(String::as_str).filter(|other| *other != first && *other != id.id);
        for other in others.filter(|other| !is_placeholder(other)) {
            // Of one who is nobody, the events are the device's.
            let whose = if common.contains(other) { person } else { person_of(other).unwrap_or(other) };
            links.push(link(other, true, whose));
        }
    }
    let known: HashSet<&str> = seen.iter().map(|id| id.id.as_str()).collect();
    let only_named = groups.keys().filter(|id| !known.contains(*id));
    links.extend(only_named.filter_map(|id| {
        let person = person_of(id)?.to_owned();
        Some(Link { id: (*id).to_owned(), user: String::new(), is_second: false, person })
    }));
    links.sort_unstable();
    Links { links, apart: Apart { common: common.0.len(), crowded } }
}

/// Ids that come with too many others.
struct Common<'a>(HashSet<&'a str>);

impl<'a> Common<'a> {
    fn of(seen: &'a [Companions]) -> Self {
        let mut devices: HashMap<&str, usize> = HashMap::new();
        let mut common = HashSet::new();
        // A word is no device.
        for id in seen.iter().filter(|id| !is_placeholder(&id.id)) {
            let users = id.users.iter().map(String::as_str);
            let others = users.filter(|user| *user != id.id && !is_placeholder(user));
            if others.clone().count() >= MAX_IDS_OF_A_VISITOR {
                common.insert(id.id.as_str());
            }
            others.for_each(|user| *devices.entry(user).or_default() += 1);
        }
        let many = devices.into_iter().filter(|(_, count)| *count >= MAX_IDS_OF_A_VISITOR);
        common.extend(many.map(|(user, _)| user));
        Self(common)
    }

    fn contains(&self, id: &str) -> bool {
        self.0.contains(id)
    }

    /// The user id that an id is linked to.
    fn first_user(&self, id: &'a Companions) -> Option<&'a str> {
        if is_placeholder(&id.id) || self.contains(&id.id) {
            return None;
        }
        let mut users = id.users.iter().map(String::as_str);
        users.find(|user| *user != id.id && !is_placeholder(user) && !self.contains(user))
    }
}

/// Ids and the links between them: a forest of who was joined to whom.
#[derive(Default)]
struct Graph<'a> {
    numbers: HashMap<&'a str, usize>,
    parents: Vec<usize>,
}

impl<'a> Graph<'a> {
    fn number(&mut self, id: &'a str) -> usize {
        let next = self.parents.len();
        let number = *self.numbers.entry(id).or_insert(next);
        if number == next {
            self.parents.push(next);
        }
        number
    }

    fn link(&mut self, id: &'a str, user: &'a str) {
        let (id, user) = (self.number(id), self.number(user));
        let (one, other) = (self.root(id), self.root(user));
        if let Some(parent) = self.parents.get_mut(one) {
            *parent = other;
        }
    }

    /// The group's number; what is passed on the way is brought nearer.
    fn root(&mut self, mut at: usize) -> usize {
        while let Some(parent) = self.parents.get(at).copied().filter(|parent| *parent != at) {
            let above = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(slot) = self.parents.get_mut(at) {
                *slot = above;
            }
            at = above;
        }
        at
    }

    /// Each id's group, and how many ids are in none because there are too many of them.
    fn groups(mut self) -> (HashMap<&'a str, usize>, usize) {
        let mut groups = std::mem::take(&mut self.numbers);
        groups.values_mut().for_each(|number| *number = self.root(*number));
        let mut sizes: HashMap<usize, usize> = HashMap::new();
        groups.values().for_each(|group| *sizes.entry(*group).or_default() += 1);
        let before = groups.len();
        groups.retain(|_, group| sizes.get(group).is_some_and(|size| *size <= MAX_IDS_OF_A_VISITOR));
        let crowded = before - groups.len();
        (groups, crowded)
    }
}

/// The id that each group goes by.
fn persons<'a>(seen: &'a [Companions], groups: &HashMap<&str, usize>) -> HashMap<usize, &'a str> {
    let mut latest: HashMap<usize, (i64, &str)> = HashMap::new();
    for id in seen {
        if let Some(group) = groups.get(id.id.as_str()) {
            let known = latest.entry(*group).or_insert((i64::MIN, ""));
            *known = (*known).max((id.last_seen_ms, &id.id));
        }
    }
    latest.into_iter().map(|(group, (_, id))| (group, id)).collect()
}
