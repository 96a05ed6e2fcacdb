//! Lets a run come to rest: no fault strikes any more, everything that waits is tried again until it is done, and every
//! partition is served to the end of the log.

use crate::eraser;
use crate::link::Mood;
use crate::world::World;

const MINUTE_MS: i64 = 60_000;
/// A world that is not at rest after so many steps never will be.
const LIMIT: usize = 200_000;

/// Brings everything to rest, and every partition's last minute to its end.
pub fn settle(world: &mut World) -> Result<(), String> {
    world.fate.say(|| "everything comes to rest".to_owned());
    world.fate.calm_down();
    settle_collectors(world)?;
    settle_group(world)?;
    if world.controls.must_link() {
        world.link();
        settle_collectors(world)?;
        settle_group(world)?;
    }
    finish(world);
    Ok(())
}

fn settle_collectors(world: &mut World) -> Result<(), String> {
    for collector in &mut world.collectors {
        collector.restart();
        if let Some(link) = &collector.link {
            link.set(Mood::Healthy);
            while link.answer_one() {}
        }
    }
    for _ in 0..LIMIT {
        world.take_answers();
        if let Some(request) = world.clients.next_again() {
            let taken = world.collectors[0].call(request);
            taken.map_err(|_| "a collector that was started does not listen".to_owned())?;
            continue;
        }
        world.controls.go_on();
        if world.controls.is_at_rest() && world.collectors.iter().all(|collector| collector.is_at_rest()) {
            return Ok(());
        }
        world.collectors.iter_mut().for_each(|collector| collector.attend(None));
    }
    Err("the collectors did not come to rest".to_owned())
}

fn settle_group(world: &mut World) -> Result<(), String> {
    world.group.calm_down();
    for _ in 0..LIMIT {
        if let Some(problem) = world.fate.wrong() {
            return Err(problem);
        }
        world.fate.advance(20);
        world.group.assign();
        world.group.step();
        if world.group.is_settled()
            && (0..world.weather.partitions).all(|partition| is_at_rest(world, partition))
        {
            return Ok(());
        }
    }
    Err("the aggregators did not come to rest".to_owned())
}

fn is_at_rest(world: &mut World, partition: u32) -> bool {
    let Some(serving) = world.group.owner(partition).and_then(|life| life.serving()) else { return false };
    serving.is_at_rest() && world.broker.is_read(partition, serving.lane.next_offset())
}

/// After every clock that ever was, minutes are closed by wall time, and everything is written.
fn finish(world: &mut World) {
    let latest_ms = world.broker.latest_ms().max(world.fate.now_ms() + 20 * MINUTE_MS);
    world.fate.advance(latest_ms + 3 * MINUTE_MS - world.fate.now_ms());
    let wall_ms = world.fate.now_ms();
    for partition in 0..world.weather.partitions {
        if let Some(life) = world.group.owner(partition) {
            life.close(wall_ms);
        }
    }
    eraser::last_round(world);
}
