// The ladder: a rung per step with its bar and facts, the momentum between two rungs, and the rates on top. Built once
// for a funnel, then updated in place.

import { h, say } from "./dom.js";
import { DASH, FEW_VISITORS, count, duration, percent, visitors, words } from "./format.js";

/** Half of the people within 10 s: a step that asks for little. */
const SMALL_STEP_SHARE = 0.5;

const RATES = [
  ["micro_to_macro", "Micro to macro", "Last step of first"],
  ["engagement", "Engagement", "Second step of first"],
  ["click_through", "Click-through", "Clicked of those shown the offer"],
  ["opt_in", "Opt-in", "Said yes of those asked"],
];

/** The rates as a row of four. */
export function ratesView() {
  const values = new Map();
  const cells = RATES.map(([key, name, meaning]) => {
    const [value, was] = [h("dd", { class: "rate-value" }, DASH), h("dd", { class: "rate-was" })];
    values.set(key, { value, was });
    return h("div", { class: "rate", "data-rate": key }, h("dt", {}, name), value, was, h("dd", { class: "rate-note" }, meaning));
  });
  const element = h("dl", { class: "rates", "aria-label": "Rates" }, cells);
  let now = {};
  let before = null;
  const show = () => values.forEach(({ value, was }, key) => {
    say(value, percent(now[key]));
    if (before) say(was, before.rates[key] === null ? "" : `${percent(before.rates[key])} ${before.name}`);
  });
  return {
    element,
    update(rates) { now = rates; show(); },
    /** Shows the rates of an earlier period below. */
    compare(rates, name) { before = { rates, name }; show(); },
  };
}

/** The ladder of a funnel as `/api/v1/funnels` describes it. */
export function ladderView(funnel) {
  const last = funnel.steps.length - 1;
  const rungs = funnel.steps.map((step, index) => rungView(step, index, index === last));
  const element = h("ol", { class: "ladder", "aria-label": "Steps" }, rungs.map((rung) => rung.element));
  const compared = h("span", { class: "compared" });
  const legend = h("p", { class: "legend" }, h("span", { class: "swatch", "aria-hidden": "true" }), `still open: can go on within ${funnel.conversion_window} of the first step`, compared);
  let now = [];
  let before = null;
  const show = () => {
    const widest = Math.max(1, ...now.map((step) => step.visitors), ...(before ?? []).map((step) => step.visitors));
    rungs.forEach((rung, index) => {
      if (now[index]) rung.update(now[index], now[index - 1], widest, before?.[index]);
    });
  };
  return {
    element: h("div", {}, element, legend),
    update(steps) {
      now = steps;
      show();
      // Bars move from what was shown, not from nothing.
      requestAnimationFrame(() => element.classList.add("moving"));
    },
    /** Marks where each step was in an earlier period; `null`: nobody knows. */
    compare(steps, name) {
      before = steps;
      compared.replaceChildren(...(steps ? [h("span", { class: "tick", "aria-hidden": "true" }), ` ${name}`] : [`There are no numbers of ${name}.`]));
      show();
    },
  };
}

function rungView(step, index, isLast) {
  const parts = {
    momentum: h("b", {}, DASH),
    dropped: h("span", { class: "dropped" }, ""),
    visitors: h("b", { class: "visitors" }, DASH),
    unit: h("span", { class: "unit" }, " visitors"),
    share: h("span", { class: "share" }, ""),
    fill: h("div", { class: "fill", hidden: true }),
    open: h("div", { class: "fill-open", hidden: true }),
    was: h("div", { class: "was", hidden: true }),
    change: h("span", { class: "change" }, ""),
  };
  const facts = factsView(step, index, isLast);
  const element = h("li", { class: isLast ? "rung macro" : "rung" },
    index === 0 ? null : h("p", { class: "momentum" }, h("span", { class: "arrow", "aria-hidden": "true" }, "↓"), parts.momentum, " go on", parts.dropped),
    h("div", { class: "head" },
      h("h3", {}, h("span", { class: "position", "aria-hidden": "true" }, String(index + 1)), step.name),
      h("span", { class: "chip" }, words(step.commitment)),
      h("p", { class: "reached" }, parts.visitors, parts.unit, parts.share, parts.change)),
    h("div", { class: "track", "aria-hidden": "true" }, parts.fill, parts.open, parts.was),
    facts.element);
  return {
    element,
    update(now, before, widest, earlier) {
      show(parts, now, before, widest);
      change(parts, now, earlier, widest);
      facts.update(now);
    },
  };
}

/** How many there were in the earlier period, as a tick on the track and as words. */
function change(parts, now, earlier, widest) {
  parts.was.hidden = !earlier;
  if (!earlier) return;
  parts.was.style.left = `${(100 * earlier.visitors) / widest}%`;
  const difference = now.visitors / earlier.visitors - 1;
  const isFew = Math.min(now.visitors, earlier.visitors) < FEW_VISITORS;
  const from = isFew ? "was " : `${difference > 0 ? "▲" : "▼"}\u202f${percent(Math.abs(difference))} from `;
  say(parts.change, now.visitors === earlier.visitors ? " · unchanged" : ` · ${from}${count(earlier.visitors)}`);
}

function show(parts, now, before, widest) {
  const width = (100 * now.visitors) / widest;
  const open = (100 * Math.min(now.open ?? 0, now.visitors)) / widest;
  say(parts.visitors, count(now.visitors));
  say(parts.unit, ` ${visitors(now.visitors)}`);
  say(parts.share, before && now.from_first !== null ? ` · ${percent(now.from_first)} of first` : "");
  parts.fill.style.width = `${width}%`;
  parts.fill.hidden = parts.open.hidden = now.visitors === 0;
  parts.open.style.width = `${open}%`;
  parts.open.style.left = `${width - open}%`;
  if (!before) return;
  say(parts.momentum, percent(now.from_previous));
  const share = now.from_previous === null ? null : Math.max(0, 1 - now.from_previous);
  say(parts.dropped, before.visitors === 0 ? "" : `drop-off ${percent(share)} (${count(now.drop_off)}): ${count(now.drop_off - now.lost)} can still go on, ${count(now.lost)} lost`);
}

function factsView(step, index, isLast) {
  const fact = (name, title) => {
    const value = h("dd", {}, DASH);
    const note = h("dd", { class: "note" });
    return { value, note, element: h("div", { class: "fact", title }, h("dt", {}, name), value, note) };
  };
  const open = isLast ? null : fact("Open", "Visitors who stand on this rung and can still go on, whenever they began");
  const ctr = step.offer ? fact("CTR", `Of visitors who were shown ${step.offer}, those who took the step`) : null;
  const seconds = index > 0 ? fact("Time", "From the previous step: half of the visitors took at most this") : null;
  const effort = step.offer ? fact("Effort", "From seeing the offer to taking the step") : null;
  const skipped = isLast ? null : fact("Skipped", "Visitors who took a later step without this one");
  const mark = h("span", { class: "mark", hidden: true }, "good small step");
  if (effort) effort.element.append(mark);
  const all = [open, ctr, seconds, effort, skipped].filter((item) => item !== null);
  return {
    element: h("dl", { class: "facts" }, all.map((item) => item.element)),
    update(now) {
      if (open) say(open.value, count(now.open));
      if (ctr) fill(ctr, percent(now.ctr), `of ${count(now.offered)} shown`);
      if (seconds) fill(seconds, duration(now.seconds.p50), ninety(now.seconds.p90));
      if (effort) {
        const { p50, p90, share_under_10s: share } = now.effort_seconds;
        fill(effort, duration(p50), ninety(p90));
        mark.hidden = !(share !== null && share >= SMALL_STEP_SHARE);
        mark.title = share === null ? "" : `${percent(share)} took 10 s or less`;
      }
      if (skipped) say(skipped.value, count(now.skipped));
    },
  };
}

function fill(item, value, note) {
  say(item.value, value);
  say(item.note, note);
}

const ninety = (seconds) => (seconds === null ? "" : `90\u202f% within ${duration(seconds)}`);
