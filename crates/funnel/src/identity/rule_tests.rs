//! The rule against a model that is as slow and as direct as possible, and its examples by name.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::intake::visitor_hash;

fn seen(id: &str, last_seen_ms: i64, users: &[&str]) -> Companions {
    Companions { id: id.into(), last_seen_ms, users: users.iter().map(|user| (*user).to_owned()).collect() }
}

/// The set as counting uses it.
fn joined(links: &Links) -> Joined {
    let mut joined = Joined::default();
    for link in &links.links {
        let user = if link.user.is_empty() { 0 } else { visitor_hash(&link.user) };
        let person = Person { visitor: visitor_hash(&link.person), partition: 0 };
        joined.add(visitor_hash(&link.id), user, link.is_second, person);
    }
    joined
}

/// For which id an event counts.
fn counted<'a>(links: &Links, ids: &[&'a str], id: &'a str, user: &str) -> &'a str {
    match joined(links).whose(visitor_hash(id), user) {
        Whose::Own => id,
        Whose::Person(person) => ids.iter().find(|id| visitor_hash(id) == person.visitor).unwrap(),
        Whose::Unknown => "?",
    }
}

#[test]
fn a_user_with_two_devices_is_one_visitor_who_goes_by_the_one_seen_last() {
    let links = join(&[seen("phone", 10, &["ann"]), seen("laptop", 30, &["ann"]), seen("ann", 20, &["ann"])]);
    let ids = ["phone", "laptop", "ann"];
    for id in ids {
        assert_eq!(counted(&links, &ids, id, ""), "laptop");
        assert_eq!(counted(&links, &ids, id, "ann"), "laptop");
    }
    let joined = joined(&links);
    assert!(joined.waits(visitor_hash("phone"), "ann") && joined.waits(visitor_hash("ann"), ""));
    assert!(!joined.waits(visitor_hash("laptop"), "ann") && !joined.waits(visitor_hash("other"), "ann"));
}

#[test]
fn the_second_user_of_a_shared_device_stays_apart_with_the_events_that_name_them() {
    let links = join(&[seen("tablet", 10, &["ann", "bob"]), seen("phone", 20, &["bob"])]);
    let ids = ["tablet", "phone", "ann", "bob"];
    let of = |id, user| counted(&links, &ids, id, user);
    assert_eq!([of("tablet", ""), of("tablet", "ann"), of("ann", "")], ["tablet"; 3]);
    assert_eq!([of("tablet", "bob"), of("phone", ""), of("bob", "")], ["phone"; 3]);
    assert_eq!(of("tablet", "guest"), "tablet");
    assert_eq!(of("tablet", "cy"), "?", "who was not seen yet waits");
}

#[test]
fn an_alias_joins_an_old_user_id_with_a_new_one_and_circles_do_no_harm() {
    let links =
        join(&[seen("phone", 5, &["old"]), seen("old", 6, &["new"]), seen("new", 9, &["new", "old"])]);
    let ids = ["phone", "old", "new"];
    assert!(ids.iter().all(|id| counted(&links, &ids, id, "") == "new"));
}

#[test]
fn words_that_name_nobody_join_nobody() {
    let seen = ["guest", "null", "0", "Undefined"].map(|word| seen(&format!("by {word}"), 1, &[word]));
    assert_eq!(join(&seen), Links::default());
    let links = join(&[self::seen("null", 1, &["ann"]), self::seen("phone", 2, &["null", "ann"])]);
    let ids = ["null", "phone", "ann"];
    assert_eq!(counted(&links, &ids, "null", "ann"), "null");
    assert_eq!(counted(&links, &ids, "ann", ""), "phone");
}

#[test]
fn what_comes_with_too_many_ids_is_nobody() {
    let many = |count: usize| -> Vec<Companions> {
        (0..count).map(|n| seen(&format!("d{n}"), n as i64, &["kunde"])).collect()
    };
    let links = join(&many(MAX_IDS_OF_A_VISITOR - 1));
    assert_eq!(links.links.len(), MAX_IDS_OF_A_VISITOR);
    let links = join(&many(MAX_IDS_OF_A_VISITOR));
    assert_eq!((links.links.len(), links.apart), (0, Apart { common: 1, crowded: 0 }));
    // It hides nobody who came later, and its events are the device's.
    let mut all = many(MAX_IDS_OF_A_VISITOR);
    all.push(seen("phone", 1_000, &["kunde", "ann"]));
    let links = join(&all);
    let ids = ["phone", "ann"];
    assert_eq!(counted(&links, &ids, "ann", ""), "phone");
    assert_eq!(counted(&links, &ids, "phone", "kunde"), "phone");
    let users: Vec<String> = (0..MAX_IDS_OF_A_VISITOR).map(|n| format!("u{n}")).collect();
    let kiosk = Companions { id: "kiosk".into(), last_seen_ms: 1, users };
    assert_eq!(join(&[kiosk]).links, []);
}

#[test]
fn a_visitor_of_too_many_ids_is_none() {
    let chain = |count: usize| -> Vec<Companions> {
        (0..count).map(|n| seen(&format!("u{n}"), n as i64, &[&format!("u{}", n + 1)])).collect()
    };
    assert_eq!(join(&chain(MAX_IDS_OF_A_VISITOR - 1)).links.len(), MAX_IDS_OF_A_VISITOR);
    let links = join(&chain(MAX_IDS_OF_A_VISITOR));
    assert_eq!(links.links, []);
    assert_eq!(links.apart, Apart { common: 0, crowded: MAX_IDS_OF_A_VISITOR + 1 });
}

/// For which id each (id, user) of `seen` counts, by the rule as it reads: links are followed until nothing changes.
fn naive(seen: &[Companions]) -> BTreeMap<(String, String), String> {
    let first = |id: &Companions| {
        let real = |user: &&String| **user != id.id && !is_placeholder(user);
        id.users.iter().find(real).filter(|_| !is_placeholder(&id.id)).cloned()
    };
    let mut visitor_of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for id in seen.iter().map(|id| &id.id).chain(seen.iter().flat_map(|id| &id.users)) {
        visitor_of.insert(id.clone(), BTreeSet::from([id.clone()]));
    }
    loop {
        let before = visitor_of.clone();
        for id in seen {
            let Some(user) = first(id) else { continue };
            let both: BTreeSet<String> = &visitor_of[&id.id] | &visitor_of[&user];
            for member in &both {
                visitor_of.insert(member.clone(), both.clone());
            }
        }
        if visitor_of == before {
            break;
        }
    }
    let goes_by = |id: &String| {
        let members = &visitor_of[id];
        let known = seen.iter().filter(|seen| members.len() > 1 && members.contains(&seen.id));
        let last = known.max_by_key(|seen| (seen.last_seen_ms, seen.id.clone()));
        last.map_or(id.clone(), |seen| seen.id.clone())
    };
    let mut counted = BTreeMap::new();
    for id in seen {
        counted.insert((id.id.clone(), String::new()), goes_by(&id.id));
        for user in &id.users {
            let own = first(id).is_none_or(|first| first == *user) || *user == id.id || is_placeholder(user);
            let whose = if own { goes_by(&id.id) } else { goes_by(user) };
            counted.insert((id.id.clone(), user.clone()), whose);
            counted.insert((user.clone(), String::new()), goes_by(user));
        }
    }
    counted
}

fn companions() -> impl Strategy<Value = Vec<Companions>> {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "guest", "null"];
    let users = prop::collection::vec(prop::sample::select(names.to_vec()), 0..4);
    prop::collection::btree_map(prop::sample::select(names.to_vec()), (0i64..5, users), 0..10).prop_map(
        |seen| {
            let of = |(id, (last_seen_ms, users)): (&str, (i64, Vec<&str>))| {
                let mut each: Vec<String> = Vec::new();
                for user in users {
                    if !each.iter().any(|known| known == user) {
                        each.push(user.to_owned());
                    }
                }
                Companions { id: id.to_owned(), last_seen_ms, users: each }
            };
            seen.into_iter().map(of).collect()
        },
    )
}

#[test]
fn a_user_who_is_new_on_a_device_goes_by_the_id_of_theirs_that_the_set_knows() {
    let seen = [("ann's", "ann"), ("bob's", "bob")];
    let companions = |(id, user): (&str, &str)| Companions {
        id: id.to_owned(),
        last_seen_ms: 1,
        users: vec![user.to_owned()],
    };
    let joined = joined(&join(&seen.map(companions)));
    let bob = joined.visitor(visitor_hash("bob's"), "bob");
    assert_eq!(joined.visitor(visitor_hash("ann's"), "bob"), bob, "on ann's device");
    assert_ne!(joined.visitor(visitor_hash("ann's"), "ann"), bob);
    assert_eq!(joined.visitor(visitor_hash("ann's"), "cy"), visitor_hash("cy"), "whom nobody knows");
    assert_eq!(joined.visitor(visitor_hash("another's"), "bob"), visitor_hash("another's"), "no set has it");
}

proptest! {
    #[test]
    fn every_event_counts_for_whom_the_rule_says(seen in companions()) {
        let links = join(&seen);
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "guest", "null"];
        for ((id, user), whose) in naive(&seen) {
            let id = ids.iter().find(|known| **known == id).unwrap();
            prop_assert_eq!(counted(&links, &ids, id, &user), whose, "{} with {:?} of {:?}", id, user, links);
        }
    }

    #[test]
    fn the_order_in_which_ids_are_seen_does_not_matter(seen in companions(), seed in any::<u64>()) {
        let mut shuffled = seen.clone();
        shuffled.sort_by_key(|id| visitor_hash(&format!("{seed}{}", id.id)));
        prop_assert_eq!(join(&seen), join(&shuffled));
    }
}
