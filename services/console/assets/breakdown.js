// Values of a breakdown side by side: a row each, a column per step, everybody on top to compare with.

import { h } from "./dom.js";
import { FEW_VISITORS, count, percent, words } from "./format.js";

/** Differences from everybody smaller than this share are not marked: they are noise to the eye. */
const NOTABLE = 0.1;

export function breakdownView(funnel, by) {
  const body = h("tbody", {});
  const note = h("p", { class: "quiet", hidden: true }, "Only the values with most visitors are shown; rarer ones count as “other”.");
  const heads = funnel.steps.map((step) => h("th", { scope: "col", title: step.name }, h("span", {}, step.name)));
  const element = h("section", { class: "card", "aria-labelledby": "breakdown-title" },
    h("h2", { id: "breakdown-title" }, `By ${words(by)}`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "breakdown-title" },
      h("table", { class: "compare" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, words(by)), heads, h("th", { scope: "col", class: "total" }, "First to last"))),
        body)),
    note);
  return {
    element,
    update(answer) {
      const rows = [row("Everybody", answer.steps, null)];
      for (const part of answer.breakdown) rows.push(row(part.value, part.steps, answer.steps));
      if (answer.breakdown.length === 0) rows.push(h("tr", {}, h("td", { class: "quiet", colspan: funnel.steps.length + 2 }, "No values yet.")));
      body.replaceChildren(...rows);
      note.hidden = !answer.truncated;
    },
  };
}

function row(value, steps, everybody) {
  const last = steps.length - 1;
  const isOnlyOffered = steps[0]?.visitors === 0 && steps.some((step) => step.offered > 0);
  const hint = isOnlyOffered ? h("span", { class: "ratio", title: "An offer was shown with this value; nobody took the first step with it" }, "offer shown, nobody began") : null;
  return h("tr", everybody ? {} : { class: "everybody" },
    h("th", { scope: "row", title: value }, value, hint),
    steps.map((step, index) => cell(step, steps[index - 1], everybody?.[index])),
    h("td", { class: "total" }, compared(steps[last]?.from_first ?? null, steps[last], steps[0], everybody?.[last]?.from_first)));
}

function cell(step, before, everybody) {
  return h("td", {}, h("b", {}, count(step.visitors)), before ? compared(step.from_previous, step, before, everybody?.from_previous) : null);
}

/** The share of a step's visitors in an earlier one's, with a mark and a word where it is notably above or below everybody's. */
function compared(ratio, step, of, everybodys) {
  const text = h("span", { class: "ratio" }, percent(ratio));
  if (ratio === null || !everybodys) return text;
  const difference = ratio / everybodys - 1;
  // Who took the step, or would have as everybody does: nobody of a thousand is few, and tells a lot.
  const behind = Math.max(step.visitors, of.visitors * everybodys);
  if (Math.abs(difference) < NOTABLE || behind < FEW_VISITORS) return text;
  text.classList.add(difference > 0 ? "above" : "below");
  text.prepend(h("span", { "aria-label": difference > 0 ? "above everybody" : "below everybody", role: "img" }, difference > 0 ? "▲ " : "▼ "));
  return text;
}
