// Events of the last day whose names no step has: a misspelt name is stored and counted nowhere, and nothing else on the
// page would show it.

import { h } from "./dom.js";
import { count } from "./format.js";

/** Names in the list, at most. */
const SHOWN = 5;

export function strangersView() {
  const element = h("section", { class: "card guide strangers", hidden: true, "aria-label": "Events that no step has" });
  return {
    element,
    /** Names near to one of the plan; while nobody is on the ladder, all that the plan does not have. */
    update(events, isEmpty) {
      const unknown = events.filter((each) => !each.in_plan && (each.did_you_mean || (isEmpty && !each.event.startsWith("$"))));
      unknown.sort((a, b) => Number(!a.did_you_mean) - Number(!b.did_you_mean) || b.count - a.count);
      element.hidden = unknown.length === 0;
      element.replaceChildren(...(unknown.length === 0 ? [] : [
        h("h2", {}, "No step has these events of the last day"),
        h("ul", {}, unknown.slice(0, SHOWN).map(stranger)),
        h("p", { class: "quiet" }, "They are stored. Correct the name in the plan, and they count from the beginning; or where they are sent, and they count from then on."),
      ]));
    },
  };
}

function stranger({ event, count: events, did_you_mean: meant }) {
  return h("li", {}, h("code", {}, event), ` (${count(events)})`, ...(meant ? [": did you mean ", h("code", {}, meant), "?"] : []));
}
