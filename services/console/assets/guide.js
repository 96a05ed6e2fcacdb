// What the page says when there is nothing to show yet: how to send the first event, how to make a plan, and which
// token is missing.

import { h } from "./dom.js";

/** The collector is the console's neighbour unless somebody moved it. */
const collector = () => `${location.protocol}//${location.hostname}:8080`;

export function firstEvent(funnel, site, period) {
  const event = funnel.steps[0].events[0];
  const key = site?.write_keys[0] ?? "YOUR_WRITE_KEY";
  const curl = `curl ${collector()}/v1/track -u ${key}: \\\n  -H 'content-type: application/json' \\\n  -d '{"event":"${event}","anonymousId":"visitor-1"}'`;
  const pixel = `<img src="${collector()}/v1/pixel.gif?key=${encodeURIComponent(key)}&event=${encodeURIComponent(event)}" alt="" width="1" height="1">`;
  const tag = `<script async src="${collector()}/rungs.js" data-key="${key}"></script>\n<button data-rungs="${event}">…</button>`;
  return h("section", { class: "card guide" },
    h("h2", {}, period === "today" || period === "yesterday" ? `Nobody climbed ${period}` : "Nobody stands on this ladder yet"),
    h("p", {}, "It fills as soon as ", h("code", {}, event), " arrives; this page updates by itself, and “What is arriving” below lists whatever comes. Send one from a terminal:"),
    snippet(curl),
    h("p", {}, "Or put the tag into your pages:"),
    snippet(tag),
    h("p", {}, "Or a pixel into a page or mail:"),
    snippet(pixel));
}

export function noPlan() {
  const plan = `[[sites]]\nid = "shop"\nwrite_keys = ["wk_shop_demo"]\norigins = ["*"]\n\n[[funnels]]\nsite = "shop"\nid = "purchase"\nname = "From looking to buying"\nconversion_window = "7d"\nrolling_windows = ["1h", "24h", "7d"]\n\n[[funnels.steps]]\nid = "view"\nevent = "product_view"\ncommitment = "click"\n\n[[funnels.steps]]\nid = "buy"\nevent = "order_completed"\ncommitment = "purchase"`;
  return h("section", { class: "card guide" },
    h("h1", {}, "No funnel is planned yet"),
    h("p", {}, "A tracking plan says which small steps lead to the big one. Save this as ", h("code", {}, "tracking-plan.toml"), ", adapt it, and apply it:"),
    snippet(plan),
    snippet("rungs plan apply tracking-plan.toml"));
}

export function tokenForm(error, onToken) {
  const input = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true, "aria-describedby": "token-why" });
  const form = h("form", { class: "token", onsubmit: (event) => { event.preventDefault(); onToken(input.value.trim()); } },
    h("label", {}, "Token ", input), h("button", { type: "submit" }, "Open"));
  return h("section", { class: "card guide" }, h("h1", {}, "This console is closed to strangers"), h("p", { id: "token-why" }, error.message), form);
}

export function failure(error) {
  return h("section", { class: "card guide" }, h("h1", {}, "The numbers cannot be read"), h("p", {}, error.message), h("p", { class: "quiet" }, "Trying again by itself."));
}

function snippet(text) {
  const button = h("button", { type: "button", class: "copy", onclick: () => copy(text, button) }, "Copy");
  return h("div", { class: "snippet" }, h("pre", { tabindex: "0" }, h("code", {}, text)), button);
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}
