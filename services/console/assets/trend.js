// How the numbers of the chosen window moved in the last 24 hours: a small line per step on a scale of its own, with notes
// of that time, and the same numbers as a table. A point is what the ladder showed then, not what happened in an hour; a
// line ends in what the ladder shows now, and moves with it.

import { h, say } from "./dom.js";
import { DASH, count, moment } from "./format.js";

const WIDTH = 240;
const HEIGHT = 56;
const PAD = 4;
/** Rows of the table: every sixth point, an hour of ten-minute points. */
const TABLE_EVERY = 6;
/** Fewer points are no line yet. */
const FEW_POINTS = 3;

export function trendView(funnel, period) {
  const charts = funnel.steps.map((step, index) => chartView(step, index, period, index === funnel.steps.length - 1));
  const grid = h("div", { class: "trends" });
  const begins = h("p", { class: "quiet", hidden: true });
  const table = tableView(funnel);
  const notes = h("ol", { class: "notes", "aria-label": "Notes", hidden: true });
  const hint = h("p", { class: "quiet" }, "Mark what you did: ", h("code", {}, `rungs annotate --site ${funnel.site} "email sent"`));
  const element = h("section", { class: "card", "aria-labelledby": "trend-title" },
    h("h2", { id: "trend-title" }, "Last 24 hours"),
    h("p", { class: "quiet" }, `Each point is the ladder at that time: who began in the ${period} before it. A line ends in the ladder of now.`),
    begins, grid, notes, hint,
    h("details", {}, h("summary", {}, "Show as a table"), table.element));
  let kept = null; // what the history answered
  let live = null; // what the ladder shows: `at` and `visitors`, as a point of the history

  function draw() {
    if (!kept) return;
    const points = withNow(kept, live);
    const known = points.filter((point) => point.visitors !== null).length;
    begins.hidden = known >= FEW_POINTS;
    say(begins, known === 0 ? "The lines begin with the first closed minutes." : "The lines have just begun: a point is kept every ten minutes.");
    if (known === 0) grid.replaceChildren();
    else if (!grid.firstChild) grid.append(...charts.map((chart) => chart.element));
    if (known > 0) charts.forEach((chart) => chart.update(points, spanOf(kept, live)));
    table.now(points.includes(live) ? live : null);
  }

  return {
    element,
    /** The points that are kept. */
    update(answer) {
      kept = answer;
      table.update(answer);
      draw();
    },
    /** What the ladder shows. */
    now({ steps, as_of: at }) {
      live = at && steps.length ? { at, visitors: steps.map((step) => step.visitors) } : null;
      draw();
    },
    /** Draws the notes of the lines' time. */
    note(answer, found) {
      charts.forEach((chart) => chart.note(found, spanOf(answer, live)));
      notes.hidden = found.length === 0;
      hint.hidden = !notes.hidden;
      notes.replaceChildren(...found.map((each) => h("li", {}, h("time", { datetime: new Date(each.at).toISOString() }, moment(each.at)), " ", each.text)));
    },
  };
}

/** The kept points and behind them what the ladder shows, where that is newer and of this time. */
function withNow({ from, points }, live) {
  const newest = points.findLast((point) => point.visitors !== null);
  if (!live || live.at < from || (newest && live.at <= newest.at)) return points;
  const before = points.filter((point) => point.at < live.at);
  // The newest one may be kept a moment later: that is no gap.
  if (before.at(-1)?.visitors === null) before.pop();
  return [...before, live];
}

const spanOf = ({ from, to }, live) => [from, Math.max(to, live?.at ?? 0)];
const x = (at, [from, to]) => (Math.min(1, Math.max(0, (at - from) / Math.max(1, to - from))) * WIDTH).toFixed(1);

function chartView(step, index, period, isLast) {
  const number = h("span", {});
  const [area, line, dots, marks] = [h("path", { class: "area" }), h("path", { class: "line" }), h("path", { class: "dots" }), h("g", {})];
  const chart = h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, area, line, dots, marks);
  const [low, high] = [h("span", {}), h("span", {})];
  const element = h("figure", { class: isLast ? "trend macro" : "trend" },
    h("figcaption", {}, h("span", { title: step.name }, step.name), h("b", {}, number, h("small", {}, ` in ${period}`))),
    chart, h("p", { class: "range" }, low, high));
  return {
    element,
    /** At least one point is known. */
    update(points, span) {
      const values = points.map((point) => ({ at: point.at, value: point.visitors?.[index] ?? null }));
      const known = values.filter(({ value }) => value !== null);
      const [first, last] = [known.at(0), known.at(-1)];
      const edges = [Math.min(...known.map(({ value }) => value)), Math.max(...known.map(({ value }) => value))];
      const place = ({ at, value }) => `${x(at, span)} ${y(value, edges)}`;
      const all = runs(values);
      say(number, count(last.value));
      line.setAttribute("d", all.map((run) => `M${run.map(place).join("L")}`).join(""));
      area.setAttribute("d", all.filter((run) => run.length > 1).map((run) => `M${x(run[0].at, span)} ${HEIGHT}L${run.map(place).join("L")}L${x(run.at(-1).at, span)} ${HEIGHT}Z`).join(""));
      // The newest, and those that no line leads to.
      dots.setAttribute("d", [...all.filter((run) => run.length === 1).flat(), last].map((point) => `M${place(point)}h0.01`).join(""));
      const [least, most] = edges.map(count);
      const isFlat = edges[0] === edges[1];
      say(low, isFlat ? "" : `low ${least}`);
      say(high, isFlat ? "" : `high ${most}`);
      chart.setAttribute("aria-label", `${step.name}, visitors of ${period}: ${count(first.value)} at ${moment(first.at)}, ${count(last.value)} at ${moment(last.at)}, lowest ${least}, highest ${most}`);
    },
    /** Each note as a line across, with its text for who points at it. */
    note(found, span) {
      marks.replaceChildren(...found.map(({ at, text }) =>
        h("path", { class: "note-mark", d: `M${x(at, span)} 0V${HEIGHT}` }, h("title", {}, `${moment(at)} ${text}`))));
    },
  };
}

const y = (value, [low, high]) => (HEIGHT - PAD - (high === low ? (high === 0 ? 0 : 0.5) : (value - low) / (high - low)) * (HEIGHT - 2 * PAD)).toFixed(1);

/** Runs of known values; a gap breaks the line. */
function runs(values) {
  const found = [];
  values.forEach((each, index) => {
    if (each.value === null) return;
    if (index === 0 || values[index - 1].value === null) found.push([]);
    found.at(-1).push(each);
  });
  return found;
}

function tableView(funnel) {
  const row = (point) => h("tr", {},
    h("th", { scope: "row" }, moment(point.at)),
    funnel.steps.map((_, index) => h("td", {}, point.visitors === null ? DASH : count(point.visitors[index]))));
  const newest = h("tbody", {});
  const rows = h("tbody", {});
  const element = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The last 24 hours as a table" },
    h("table", { class: "compare" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), funnel.steps.map((step) => h("th", { scope: "col" }, step.name)))),
      newest, rows));
  return {
    element,
    update({ points }) {
      rows.replaceChildren(...points.filter((_, index) => (points.length - 1 - index) % TABLE_EVERY === 0).reverse().map(row));
    },
    now(point) { newest.replaceChildren(...(point ? [row(point)] : [])); },
  };
}
