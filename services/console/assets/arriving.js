// What is arriving: the last events, accepted or rejected, and what became of each; below, the names of the last day with
// their properties. What one opens first when nothing shows. Read only while it is open.

import { get } from "./api.js";
import { h, say } from "./dom.js";
import { ago, count, time } from "./format.js";

/** The server reads once a second for all who look. */
const LOOK_MS = 1000;
/** So much behind, it is said. */
const BEHIND_MS = 5000;
const NAMES_EVERY = 15;
const PROPERTIES_SHOWN = 8;
const ABOUT = "About so many: an event that was written twice, as after a crash, counts twice here until ClickHouse merges its rows. The ladder counts it once.";

export function arrivingView(funnel, onToggle) {
  const state = h("p", { class: "quiet", role: "status" }, "Looking for events…");
  const rows = h("tbody", {});
  const names = h("tbody", {});
  const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The last events" },
    h("table", { class: "events" },
      h("thead", {}, h("tr", {}, ["Received", "Event", "What became of it", "Properties"].map((text) => h("th", { scope: "col" }, text)))), rows));
  const named = h("details", {}, h("summary", {}, "Names and properties of the last day"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Names of the last day" },
      h("table", { class: "events" },
        h("thead", {}, h("tr", {}, ["Event", "Events, about", "In the plan", "Properties (events that have them)"].map((text) => h("th", { scope: "col" }, text)))), names)),
    h("p", { class: "quiet" }, ABOUT));
  const note = h("p", { class: "quiet" }, "An event counts at a step it matches if its visitor took the steps before: ", h("code", {}, "rungs trace --visitor …"), " tells.");
  const element = h("details", { class: "card fold", ontoggle: () => onToggle(element.open) },
    h("summary", {}, h("h2", {}, "What is arriving"), h("span", { class: "quiet" }, `the last events of ${funnel.site}, on a step or not`)),
    state, table, note, named);
  const site = `/api/v1/sites/${encodeURIComponent(funnel.site)}`;
  let looks = 0;
  let shown = "";

  async function look() {
    try {
      const answer = await get(`${site}/recent`);
      const text = JSON.stringify(answer.events);
      table.hidden = note.hidden = answer.events.length === 0;
      if (text !== shown) rows.replaceChildren(...answer.events.map((event) => row(event, funnel)));
      else rows.querySelectorAll("time").forEach((each) => say(each, ago(Number(each.dataset.at))));
      shown = text;
      say(state, told(answer));
      if (looks++ % NAMES_EVERY === 0) names.replaceChildren(...(await get(`${site}/events`)).events.map(nameRow));
    } catch (error) {
      say(state, error.message);
    }
  }

  let wasThere = false;
  const timer = setInterval(() => {
    wasThere ||= element.isConnected;
    if (wasThere && !element.isConnected) clearInterval(timer);
    else if (element.open && !document.hidden) look();
  }, LOOK_MS);
  return { element, open() { element.open = true; look(); } };
}

function told({ as_of: asOf, events }) {
  const behind = asOf === null ? 0 : Date.now() - asOf;
  if (behind > BEHIND_MS) return `ClickHouse holds what came until ${time(asOf)}, ${ago(asOf)}: what came later is not listed yet.`;
  if (events.length === 0) return "Nothing arrived in the last 30 days. A request that was not answered with 200 stored nothing; its answer says why.";
  const rejected = events.filter((event) => !event.accepted).length;
  const strangers = events.filter((event) => event.accepted && event.matches.length === 0).length;
  return `The last ${count(events.length)}: ${count(events.length - rejected - strangers)} match a step or an offer, ${count(strangers)} none, ${count(rejected)} rejected.`;
}

function row(event, funnel) {
  const at = h("time", { datetime: new Date(event.received_at).toISOString(), title: time(event.received_at), "data-at": event.received_at }, ago(event.received_at));
  return h("tr", { class: event.accepted ? null : "rejected" },
    h("td", { class: "when" }, at),
    h("td", { class: "name" }, h("code", {}, event.event || "(no name)")),
    h("td", { class: "fate" }, fate(event, funnel)),
    h("td", { class: "quiet" }, event.properties.join(", ")));
}

function fate(event, funnel) {
  const steps = event.matches.map((match) => h("span", { class: match.as === "step" ? "chip yes" : "chip" },
    match.as === "step" ? `matches step ${match.position}: ` : `offer of step ${match.position}: `, match.name, match.funnel === funnel.id ? "" : ` (${match.funnel})`));
  const reason = event.accepted ? [] : [h("b", {}, `Rejected (${event.reason}): `)];
  const broken = event.violations.map((text) => h("span", {}, ` Against the schema: ${text}.`));
  return [...steps, ...reason, ...(event.why ? [h("span", {}, event.why)] : []), ...broken];
}

function nameRow({ event, count: events, in_plan: inPlan, did_you_mean: meant, properties }) {
  const told = properties.slice(0, PROPERTIES_SHOWN).map(({ name, count: having }) => `${name} (${count(having)})`);
  const more = properties.length - told.length;
  return h("tr", {},
    h("td", { class: "name" }, h("code", {}, event)),
    h("td", { class: "number" }, count(events)),
    h("td", {}, inPlan ? "yes" : meant ? ["no; did you mean ", h("code", {}, meant), "?"] : "no"),
    h("td", { class: "quiet" }, told.join(", ") + (more > 0 ? ` and ${more} more` : "")));
}
