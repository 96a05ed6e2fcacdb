// What elements say of themselves: `data-rungs="step"` is a click, or a form that is sent; `data-rungs-offer="name"` an offer
// that counts as shown when half of it was visible for a second. Other `data-rungs-…` attributes are properties.

import { guard, listen } from "./guard.js";
import { record } from "./record.js";

const SHOWN_MS = 1e3;
const OFFER = "data-rungs-offer";

const track = (element, event) => {
  if (!event) return;
  const properties = {};
  const data = element.dataset;
  for (const name in data)
    if (/^rungs[A-Z]/.test(name) && name != "rungsOffer") properties[name[5].toLowerCase() + name.slice(6)] = data[name];
  record("track", event, properties);
};

export const watchSteps = () => {
  for (const type of ["click", "submit"])
    listen(document, type, (event) => {
      const element = event.target.closest("[data-rungs]");
      if (element && (type == "submit") == (element instanceof HTMLFormElement)) track(element, element.dataset.rungs);
    });
};

export const watchOffers = () => {
  // The offer that each element is watched for: one that frameworks use again for another offer counts again.
  const watched = new WeakMap();
  const timers = new WeakMap();
  const look = guard((element) => {
    if (document.hidden) return wait(element);
    observer.unobserve(element);
    track(element, element.dataset.rungsOffer);
  });
  const wait = (element) => timers.set(element, setTimeout(look, SHOWN_MS, element));
  const observer = new IntersectionObserver(
    guard((entries) =>
      entries.map((entry) => {
        clearTimeout(timers.get(entry.target));
        if (entry.intersectionRatio >= 0.5) wait(entry.target);
      })
    ),
    { threshold: 0.5 }
  );
  let due;
  const find = guard(() => {
    due = 0;
    document.querySelectorAll("[" + OFFER + "]").forEach((element) => {
      const offer = element.dataset.rungsOffer;
      if (watched.get(element) == offer) return;
      watched.set(element, offer);
      observer.unobserve(element);
      observer.observe(element);
    });
  });
  // At most a few times a second, however much a page changes.
  const soon = () => (due = due || setTimeout(find, 200));
  new MutationObserver(soon).observe(document, { childList: true, subtree: true, attributeFilter: [OFFER] });
  find();
};
