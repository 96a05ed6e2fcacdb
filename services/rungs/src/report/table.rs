//! A funnel as a table: a line a step with a bar of its visitors, then the funnel's rates, then a line a breakdown value.
//! Fits the width and shows every number: where a line is too short the bars go first, then the columns go on below. Pure.

use console::truncate_str;
use jiff::Timestamp;

use super::answer::{Answer, NamedEvents, Part, Step};
use super::columns::{Column, in_blocks, line_width, render_blocks};
use crate::terminal::on_one_line;

const MAX_NAME: usize = 34;
/// Names of events that no step has, at most.
const MAX_STRANGERS: usize = 5;
/// Characters between two columns.
const GAP_WIDTH: usize = 2;
const MIN_BAR: usize = 6;
const MAX_BAR: usize = 40;
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const NOTHING: &str = "–";
const MINUTE_MS: i64 = 60_000;

/// The whole text.
pub(super) fn render(answer: &Answer, breakdown: Option<&str>, width: usize) -> String {
    let mut text = format!("{}\n\n", title(answer));
    if answer.steps.is_empty() {
        text.push_str("There are no numbers yet.\n");
        return text;
    }
    text.push_str(&ladder(&answer.steps, width));
    text.push_str(&format!("\n{}\n", rates(answer)));
    if let Some(by) = breakdown {
        text.push_str(&format!("\n{}", parts(by, answer, width)));
    }
    text
}

fn title(answer: &Answer) -> String {
    let Answer { site, funnel, state, progress, steps, .. } = answer;
    let window = answer.window.as_deref().map(|window| format!(", {window}")).unwrap_or_default();
    let span = match answer.from.zip(answer.to) {
        Some((from, to)) => format!(" from {} to {} UTC", moment(from), moment(to)),
        None => String::new(),
    };
    let building = match state.as_str() {
        "building" => {
            format!(" (past events are being counted, {} done{})", percent(Some(*progress)), before(steps))
        }
        _ => String::new(),
    };
    format!("{site}/{funnel}{window}{span}{building}")
}

fn before(steps: &[Step]) -> &'static str {
    if steps.is_empty() { "" } else { "; until then these are the numbers from before" }
}

/// With seconds only where it is no whole minute, as the end of a window that ends now: the open minute is in it.
fn moment(ms: i64) -> String {
    let form = if ms % MINUTE_MS == 0 { "%F %R" } else { "%F %T" };
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.strftime(form).to_string())
}

fn ladder(steps: &[Step], width: usize) -> String {
    let cells = |cell: fn(&Step) -> String| steps.iter().map(cell);
    let name_room = (width / 3).min(MAX_NAME);
    let names = steps.iter().map(|step| truncate_str(&step.name, name_room, "…").into_owned());
    let name = Column::left("step", names);
    let visitors = Column::right("visitors", cells(|step| thousands(step.visitors)));
    let numbers = vec![
        Column::right("of prev.", cells(|step| percent(step.from_previous))),
        Column::right("of first", cells(|step| percent(step.from_first))),
        Column::right("drop-off", cells(|step| or_nothing(step.drop_off))),
        Column::right("lost", cells(|step| or_nothing(step.lost))),
        Column::right("CTR", cells(|step| percent(step.ctr))),
        Column::right("time", cells(|step| duration(step.seconds.p50))),
        Column::right("effort", cells(|step| duration(step.effort_seconds.p50))),
        Column::right("open", cells(|step| or_nothing(step.open))),
        Column::right("skipped", cells(|step| or_nothing(step.skipped))),
    ];
    let beside_bars = line_width(&[name.clone(), visitors.clone()]) + line_width(&numbers) + 2 * GAP_WIDTH;
    let fits_without = beside_bars <= width + GAP_WIDTH;
    let room = width.saturating_sub(beside_bars);
    let mut first = vec![name.clone(), visitors];
    // Two blocks have room for bars, one that is nearly too wide has not.
    if room >= MIN_BAR || !fits_without {
        let room = room.clamp(MIN_BAR, MAX_BAR);
        let most = steps.iter().map(|step| step.visitors).max().unwrap_or_default();
        first.push(Column::left("", steps.iter().map(|step| bar(step.visitors, most, room))));
    }
    render_blocks(&in_blocks(&first, &name, numbers, width))
}

/// Blocks, to an eighth; a visitor always shows.
fn bar(value: u64, most: u64, room: usize) -> String {
    let room = room as u64 * 8;
    let eighths = match (value * room).checked_div(most) {
        Some(0) if value > 0 => 1,
        eighths => eighths.unwrap_or_default(),
    };
    let mut bar = "█".repeat((eighths / 8) as usize);
    bar.extend(EIGHTHS.get((eighths % 8) as usize).filter(|part| **part != ' '));
    bar
}

fn rates(answer: &Answer) -> String {
    let rates = &answer.rates;
    let named = [
        ("click-through", rates.click_through),
        ("opt-in", rates.opt_in),
        ("engagement", rates.engagement),
        ("micro to macro", rates.micro_to_macro),
    ];
    named.map(|(name, rate)| format!("{name} {}", percent(rate))).join("   ")
}

/// What to say of events that no step has, if anything: names near to one of the plan, and, while nobody is on the ladder,
/// all other names too.
pub(super) fn strangers(names: &[NamedEvents], answer: &Answer) -> Option<String> {
    let is_empty = answer.steps.iter().all(|step| step.visitors == 0);
    let is_strange = |named: &&NamedEvents| {
        !named.in_plan && (named.did_you_mean.is_some() || (is_empty && !named.event.starts_with('$')))
    };
    let mut strange: Vec<&NamedEvents> = names.iter().filter(is_strange).collect();
    strange.sort_by_key(|named| named.did_you_mean.is_none());
    let line = |named: &&NamedEvents| {
        let meant = named.did_you_mean.as_deref().map(|meant| format!(": did you mean {meant}?"));
        // Anyone with the site's write key may send a name.
        let (event, meant) = (on_one_line(&named.event), on_one_line(&meant.unwrap_or_default()));
        format!("  {event} ({}){meant}\n", thousands(named.count))
    };
    let lines: String = strange.iter().take(MAX_STRANGERS).map(line).collect();
    (!lines.is_empty()).then(|| {
        format!("No step has these events of the last day; they are stored, and counted nowhere:\n{lines}")
    })
}

/// Visitors of each step by value; values are in the console's order, the largest first.
fn parts(by: &str, answer: &Answer, width: usize) -> String {
    let of =
        |cell: &dyn Fn(&Part) -> String| answer.breakdown.iter().map(cell).collect::<Vec<_>>().into_iter();
    let value = |part: &Part| truncate_str(&on_one_line(&part.value), MAX_NAME, "…").into_owned();
    let value = Column::left(by, of(&value));
    let to_last = Column::right("last of first", of(&|part| percent(last_of_first(part))));
    let steps = answer.steps.iter().enumerate().map(|(position, step)| {
        let visitors =
            |part: &Part| part.steps.get(position).map_or_else(String::new, |step| thousands(step.visitors));
        Column::right(&truncate_str(&step.id, 14, "…"), of(&visitors))
    });
    let numbers: Vec<Column> = std::iter::once(to_last).chain(steps).collect();
    let mut text = render_blocks(&in_blocks(std::slice::from_ref(&value), &value, numbers, width));
    if answer.truncated {
        text.push_str("There are more values: small ones count as \"other\".\n");
    }
    text
}

fn last_of_first(part: &Part) -> Option<f64> {
    part.steps.last().and_then(|step| step.from_first)
}

/// 0.314 as 31.4 %, with two digits below 1 %: as the live page does.
fn percent(ratio: Option<f64>) -> String {
    let Some(value) = ratio.map(|ratio| ratio * 100.0) else { return NOTHING.to_owned() };
    match value {
        0.0 | 100.0 => format!("{value:.0} %"),
        1.0.. => format!("{value:.1} %"),
        _ => format!("{} %", two_digits(value)),
    }
}

/// The first two digits of a number below 1 that are no leading zeros, without a zero at the end.
fn two_digits(value: f64) -> String {
    let leading_zeros = -(value.log10().floor() + 1.0);
    let text = format!("{value:.*}", leading_zeros as usize + 2);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn or_nothing(number: Option<u64>) -> String {
    number.map_or_else(|| NOTHING.to_owned(), thousands)
}

/// `1,234`
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// To two digits: quantiles are approximate.
fn duration(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return NOTHING.to_owned() };
    match seconds {
        seconds if seconds < 9.95 => format!("{seconds:.1} s"),
        seconds if seconds < 119.5 => format!("{seconds:.0} s"),
        seconds if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3_600.0),
        seconds => format!("{:.0} d", seconds / 86_400.0),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
