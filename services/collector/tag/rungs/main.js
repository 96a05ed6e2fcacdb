// The tag: counts page views, marked clicks, forms and offers, and whatever the page reports, and sends them to the collector
// that it came from. `rungs("event", name, properties)`, `rungs("page", properties)`, `rungs("consent", "granted" | "denied")`,
// `rungs("id", callback)`. Calls before it was loaded wait in the snippet's `rungs.q`.
//
// `make tag` writes rungs.min.js from these files; tests hold the two together and the size within 3 KiB compressed.

import { cookieless, script, settings } from "./settings.js";
import { guard } from "./guard.js";
import { start } from "./queue.js";
import { arrive, forgetVisitor } from "./visitor.js";
import { choose, identity, record } from "./record.js";
import { page, watchPages } from "./pages.js";
import { watchOffers, watchSteps } from "./elements.js";

const commands = {
  event: (name, properties) => record("track", name, properties),
  page,
  consent: choose,
  id: (callback) => callback(identity()),
};

const call = guard((command, first, second) => commands[command](first, second));

const loadExtra = () => {
  const element = document.createElement("script");
  element.async = true;
  element.nonce = script.nonce;
  element.src = script.src.replace(/(\.\w+)?([?#].*)?$/, "-extra$1");
  document.head.appendChild(element);
};

guard(() => {
  const before = window.rungs || {};
  // Pasted twice, it counts once.
  if (!settings.key || before.on) return;
  window.rungs = call;
  call.on = 1;
  // What the page kept before it did without cookies.
  cookieless && forgetVisitor();
  arrive();
  const steps = [start, settings.pages != "off" && watchPages, watchSteps, watchOffers, "extra" in settings && loadExtra];
  // Each by itself: a browser that lacks one thing has the others.
  steps.map((step) => step && guard(step)());
  (before.q || []).map((waiting) => call.apply(null, waiting));
})();
