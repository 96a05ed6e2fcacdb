// The pickers in the page's head: funnel, period, breakdown, comparison.

import { DAYS, go, nameOf, previousOf } from "./address.js";
import { h } from "./dom.js";
import { words } from "./format.js";

const at = (id) => document.getElementById(id);

export function fillFunnels(funnels) {
  const sites = [...new Set(funnels.map((funnel) => funnel.site))];
  const option = (funnel) => h("option", { value: nameOf(funnel) }, funnel.name);
  at("funnel").replaceChildren(...sites.map((site) =>
    h("optgroup", { label: site }, funnels.filter((funnel) => funnel.site === site).map(option))));
  at("pickers").hidden = false;
}

export function fillPickers({ funnel, period, breakdown, compare }, zone) {
  at("funnel").value = nameOf(funnel);
  const days = DAYS.map((day) => [day, day[0].toUpperCase() + day.slice(1), `In the site's time zone, ${zone}`]);
  const periods = [...funnel.rolling_windows.map((label) => [label, label, `Climbs that began within the last ${label}`]), ...days];
  at("windows").replaceChildren(...periods.map(([value, text, title]) =>
    h("label", { title }, h("input", { type: "radio", name: "window", value, checked: value === period }), h("span", {}, text))));
  at("breakdown").replaceChildren(h("option", { value: "" }, "nothing"), ...funnel.breakdowns.map((by) => h("option", { value: by }, words(by))));
  at("breakdown").value = breakdown;
  at("breakdown").closest("label").hidden = funnel.breakdowns.length === 0;
  at("compare").checked = compare;
  at("compare").closest("label").title = `With ${previousOf(period)}`;
}

/** Calls `onPick` after the address says what was picked. */
export function follow(onPick) {
  at("pickers").addEventListener("change", () => {
    const period = new FormData(at("pickers")).get("window");
    go({ funnel: at("funnel").value, period, breakdown: at("breakdown").value, compare: at("compare").checked });
    const focused = document.activeElement;
    onPick();
    if (focused?.name === "window") at("windows").querySelector("input:checked")?.focus();
  });
  at("pickers").addEventListener("submit", (event) => event.preventDefault());
}
