// Who is stuck: the visitors who stand on a rung, or did not go on from it, to follow up on what they did. Asks for a secret
// key of the site, which is kept in memory only: it is gone when the page is.

import { get, path, save } from "./api.js";
import { h, say } from "./dom.js";
import { count, date } from "./format.js";

/** Pages of 1,000 that a download takes, at most. */
const PAGES = 100;
/** The key of each site, for as long as the page is open. */
const keys = new Map();

export function stuckView(funnel, window) {
  const step = h("select", { id: "stuck-step" }, funnel.steps.slice(0, -1).map((each) => h("option", { value: each.id }, each.name)));
  const state = h("select", { id: "stuck-state" },
    h("option", { value: "open" }, "stand there and can still go on"),
    h("option", { value: "dropped" }, `did not take the next step (${window})`));
  const key = h("input", { type: "password", id: "stuck-key", autocomplete: "off", required: true, value: keys.get(funnel.site) ?? "", "aria-describedby": "stuck-why" });
  const told = h("p", { class: "quiet", role: "status" });
  const rows = h("tbody", {});
  const more = h("button", { type: "button", hidden: true, onclick: () => load(more.dataset.next) }, "More");
  const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Visitors", hidden: true },
    h("table", { class: "compare people" }, h("thead", {}, h("tr", {},
      ["Visitor", "User", "Began", "Came here", "Last seen", "Can go on"].map((text) => h("th", { scope: "col" }, text)))), rows));
  const form = h("form", { class: "ask", onsubmit: (event) => { event.preventDefault(); load(); } },
    h("label", {}, "Visitors who took", step), h("label", {}, "and", state), h("label", {}, "Secret key", key),
    h("button", { type: "submit" }, "Show"), h("button", { type: "button", onclick: () => form.reportValidity() && download() }, "Download CSV"));
  const element = h("details", { class: "card fold" },
    h("summary", {}, h("h2", {}, "Who is stuck"), h("span", { class: "quiet" }, "visitors to follow up on")),
    h("p", { class: "quiet", id: "stuck-why" }, `A list of people: it needs a secret key of ${funnel.site}, as imports do. The key stays in this page's memory and is gone with it.`),
    form, told, table, more);

  const address = path(funnel, "visitors");
  const asked = (extra) => ({ step: step.value, state: state.value, window, ...extra });
  const secret = () => { keys.set(funnel.site, key.value.trim()); return key.value.trim(); };

  async function load(cursor) {
    try {
      const page = await get(address, asked(cursor ? { cursor } : {}), secret());
      const found = page.visitors.map(row);
      if (cursor) rows.append(...found);
      else rows.replaceChildren(...found);
      table.hidden = rows.childElementCount === 0;
      more.hidden = !page.next;
      more.dataset.next = page.next ?? "";
      const lost = page.nameless ? ` ${count(page.nameless)} more of them cannot be named: their events are not stored any more.` : "";
      say(told, `${count(rows.childElementCount)}${page.next ? " so far" : ""}.${lost} A journey shows here some seconds after it is counted.`);
    } catch (error) {
      say(told, error.message);
    }
  }

  async function download() {
    const parts = [];
    try {
      let cursor = null;
      do {
        const answer = await get(address, asked({ limit: 1000, format: "csv", ...(cursor ? { cursor } : {}) }), secret(), "text");
        parts.push(parts.length === 0 ? answer.text : answer.text.slice(answer.text.indexOf("\n") + 1));
        cursor = answer.next;
      } while (cursor && parts.length < PAGES);
      save(parts.join(""), `${funnel.id}-${step.value}-${state.value}.csv`);
      say(told, cursor ? "The file ends after 100,000 visitors; the API goes on." : "Downloaded.");
    } catch (error) {
      say(told, error.message);
    }
  }
  return { element };
}

function row(visitor) {
  return h("tr", {},
    h("th", { scope: "row" }, visitor.visitor),
    h("td", {}, visitor.user_id ?? ""),
    [visitor.entered_at, visitor.reached_at, visitor.last_seen_at].map((ms) => h("td", {}, date(ms))),
    h("td", {}, visitor.can_go_on ? "yes" : "no"));
}
