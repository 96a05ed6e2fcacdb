// How the numbers of the chosen window moved in the last 24 hours: a small line per step on a scale of its own, with notes
// of that time, and the same numbers as a table. A point is what the ladder showed then, not what happened in an hour.

import { h } from "./dom.js";
import { DASH, count, moment } from "./format.js";

const WIDTH = 240;
const HEIGHT = 56;
const PAD = 4;
/** Rows of the table: every sixth point, an hour of ten-minute points. */
const TABLE_EVERY = 6;

export function trendView(funnel, period) {
  const charts = h("div", { class: "trends" });
  const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The last 24 hours as a table" });
  const notes = h("ol", { class: "notes", "aria-label": "Notes", hidden: true });
  const hint = h("p", { class: "quiet" }, "Mark what you did: ", h("code", {}, `rungs annotate --site ${funnel.site} "email sent"`));
  const element = h("section", { class: "card", "aria-labelledby": "trend-title" },
    h("h2", { id: "trend-title" }, "Last 24 hours"),
    h("p", { class: "quiet" }, `Each point is the ladder at that time: who began in the ${period} before it. The number above a line is the newest.`),
    charts, notes, hint,
    h("details", {}, h("summary", {}, "Show as a table"), table));
  return {
    element,
    update(answer) {
      const known = answer.points.some((point) => point.visitors !== null);
      charts.replaceChildren(...(known
        ? funnel.steps.map((step, index) => chart(step, index, answer, period, index === funnel.steps.length - 1))
        : [h("p", { class: "quiet" }, "The lines begin with the first closed minutes.")]));
      table.replaceChildren(asTable(funnel, answer));
    },
    /** Draws the notes of the lines' time. */
    note(answer, found) {
      const span = spanOf(answer);
      charts.querySelectorAll("svg").forEach((svg) => svg.append(...found.map((each) => mark(each, span))));
      notes.hidden = found.length === 0;
      hint.hidden = !notes.hidden;
      notes.replaceChildren(...found.map((each) => h("li", {}, h("time", { datetime: new Date(each.at).toISOString() }, moment(each.at)), " ", each.text)));
    },
  };
}

const spanOf = ({ points }) => [points.at(0)?.at ?? 0, points.at(-1)?.at ?? 1];

/** A note as a line across the chart, with its text for who points at it. */
function mark({ at, text }, [from, to]) {
  const left = Math.min(WIDTH, Math.max(0, ((at - from) / Math.max(1, to - from)) * WIDTH)).toFixed(1);
  return h("path", { class: "note-mark", d: `M${left} 0V${HEIGHT}` }, h("title", {}, `${moment(at)} ${text}`));
}

function chart(step, index, answer, period, isLast) {
  const values = answer.points.map((point) => point.visitors?.[index] ?? null);
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const text = `${step.name}, visitors of ${period}: ${count(known.at(0))} 24 hours ago, ${count(known.at(-1))} now, lowest ${count(low)}, highest ${count(high)}`;
  return h("figure", { class: isLast ? "trend macro" : "trend" },
    h("figcaption", {}, h("span", { title: step.name }, step.name), h("b", {}, count(known.at(-1)), h("small", {}, ` in ${period}`))),
    h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": text },
      h("path", { class: "area", d: area(values, low, high) }),
      h("path", { class: "line", d: line(values, low, high) })),
    h("p", { class: "range" }, h("span", {}, `low ${count(low)}`), h("span", {}, `high ${count(high)}`)));
}

const x = (index, length) => (index / Math.max(1, length - 1)) * WIDTH;
const y = (value, low, high) => HEIGHT - PAD - (high === low ? (high === 0 ? 0 : 0.5) : (value - low) / (high - low)) * (HEIGHT - 2 * PAD);

/** Runs of known points; a gap breaks the line. */
function runs(values) {
  const found = [];
  values.forEach((value, index) => {
    if (value === null) return;
    if (index === 0 || values[index - 1] === null) found.push([]);
    found.at(-1).push(index);
  });
  return found;
}

function line(values, low, high) {
  const points = (run) => run.map((index) => `${x(index, values.length).toFixed(1)} ${y(values[index], low, high).toFixed(1)}`);
  return runs(values).map((run) => `M${points(run).join("L")}${run.length === 1 ? "h0.1" : ""}`).join("");
}

function area(values, low, high) {
  return runs(values).filter((run) => run.length > 1).map((run) => {
    const edge = run.map((index) => `L${x(index, values.length).toFixed(1)} ${y(values[index], low, high).toFixed(1)}`).join("");
    return `M${x(run[0], values.length).toFixed(1)} ${HEIGHT}${edge}L${x(run.at(-1), values.length).toFixed(1)} ${HEIGHT}Z`;
  }).join("");
}

function asTable(funnel, answer) {
  const rows = answer.points.filter((_, index) => (answer.points.length - 1 - index) % TABLE_EVERY === 0).reverse();
  return h("table", { class: "compare" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), funnel.steps.map((step) => h("th", { scope: "col" }, step.name)))),
    h("tbody", {}, rows.map((point) => h("tr", {},
      h("th", { scope: "row" }, moment(point.at)),
      funnel.steps.map((_, index) => h("td", {}, point.visitors === null ? DASH : count(point.visitors[index])))))));
}
