// How fresh the numbers are, in the page's head, and notices above them.

import { h, say } from "./dom.js";
import { time } from "./format.js";

const at = (id) => document.getElementById(id);

export function fresh(state, text) {
  at("freshness").dataset.state = state;
  say(at("freshness-text"), text);
}

/** Numbers of a time came, or none yet. */
export function heard(asOf) {
  if (at("notice").dataset.kind === "problem") notice("", "");
  if (asOf) fresh("live", `Live · ${time(asOf)}`);
  else fresh("waiting", "Waiting for numbers");
}

export function notice(kind, text, progress) {
  const place = at("notice");
  if (place.dataset.kind === kind && place.textContent === text) return;
  place.dataset.kind = kind;
  const bar = progress === undefined ? [] : [h("progress", { value: progress, max: 1, "aria-label": "Progress" })];
  place.replaceChildren(...(text ? [h("p", {}, text), ...bar] : []));
}
