//! Which part takes the next step, and which fault strikes.

use crate::eraser;
use crate::link::Mood;
use crate::weather::LogKind;
use crate::world::World;

const MINUTE_MS: i64 = 60_000;

/// One step of the world.
pub fn step(world: &mut World) {
    let fate = world.fate.clone();
    let spans = [0, 0, 0, 300, 3_000, 20_000];
    fate.advance(fate.span_ms(*fate.pick(&spans)));
    if fate.percent(world.weather.unrest) {
        return disturb(world);
    }
    if fate.percent(world.weather.changes) {
        return change(world);
    }
    if fate.percent(world.weather.clock_steps) {
        return step_clock(world);
    }
    match fate.below(100) {
        0..22 => world.call(),
        22..34 => world.attend(),
        34..96 => world.group.step(),
        96..98 => world.controls.go_on(),
        98 => world.group.assign(),
        _ => fate.advance(fate.span_ms(5 * MINUTE_MS)),
    }
}

fn disturb(world: &mut World) {
    match world.fate.below(10) {
        0..2 => world.group.crash(),
        2..5 if world.weather.log == LogKind::Kafka => world.group.rebalance(),
        5 => world.group.notice(),
        6 => world.disturb_collector(),
        7..9 => change_mood(world),
        _ => world.collectors.iter_mut().for_each(|collector| collector.restart()),
    }
}

fn change_mood(world: &mut World) {
    let at = world.fate.below(world.collectors.len() as u64) as usize;
    let Some(link) = world.collectors[at].link.clone() else { return };
    if world.fate.percent(30) {
        link.answer_one();
        return world.take_answers();
    }
    let mood = *world.fate.pick(&[Mood::Healthy, Mood::Healthy, Mood::Away, Mood::Losing, Mood::Silent]);
    world.fate.say(|| format!("collector {at}: its link is {mood:?}"));
    link.set(mood);
}

fn change(world: &mut World) {
    match world.fate.below(16) {
        0..4 => world.controls.apply_plan(),
        4..9 => world.controls.rebuild(),
        9..11 => world.controls.erase(),
        11..13 => eraser::round(world),
        13..15 => world.link(),
        _ => world.controls.announce_again(),
    }
}

/// A clock stands wrong for a while, back or ahead, or is right again.
fn step_clock(world: &mut World) {
    world.fate.note("a clock stepped");
    let error = *world.fate.pick(&[0, 0, 2_000, MINUTE_MS, 20 * MINUTE_MS]);
    let skew_ms = if world.fate.percent(50) { error } else { -error };
    if world.fate.percent(50) {
        let partition = world.fate.below(u64::from(world.weather.partitions)) as u32;
        world.broker.set_clock(partition, skew_ms);
    } else {
        world.group.set_clock(skew_ms);
    }
}
