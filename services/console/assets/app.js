// The live page: reads what to show from its address, follows the numbers, and keeps the page up to date. Start reading at
// `start`.

import { DAYS, previousOf, remember, wanted } from "./address.js";
import { get, keepToken, path, save, takeToken } from "./api.js";
import { arrivingView } from "./arriving.js";
import { breakdownView } from "./breakdown.js";
import { h } from "./dom.js";
import { percent } from "./format.js";
import { failure, firstEvent, noPlan, tokenForm } from "./guide.js";
import { ladderView, ratesView } from "./ladder.js";
import { follow as followNumbers, question } from "./numbers.js";
import { fillFunnels, fillPickers, follow as followPickers } from "./pickers.js";
import { fresh, heard, notice } from "./status.js";
import { strangersView } from "./strangers.js";
import { stuckView } from "./stuck.js";
import { trendView } from "./trend.js";

const RETRY_MS = 5000;
const REFRESH_MS = 60000;
const GUIDE_REFRESH_MS = 5000;
const MINUTE_MS = 60000;
const HOUR_MS = 3600000;

let catalog = { funnels: [], sites: [] };
let shown = null; // what the address asks for, its views, and whose numbers come
let numbers = null;

async function start() {
  takeToken();
  try {
    const [funnels, sites] = await Promise.all([get("/api/v1/funnels"), get("/api/v1/sites")]);
    catalog = { funnels: funnels.funnels, sites: sites.sites };
  } catch (error) {
    refuse(error);
    return;
  }
  if (catalog.funnels.length === 0) {
    view().replaceChildren(noPlan());
    fresh("waiting", "Waiting for a plan");
    setTimeout(start, RETRY_MS);
    return;
  }
  fillFunnels(catalog.funnels);
  open();
}

const view = () => document.getElementById("view");
const siteOf = (funnel) => catalog.sites.find((each) => each.id === funnel.site);

/** Shows what the address asks for and follows its numbers. */
function open() {
  numbers?.close();
  const asked = wanted(catalog.funnels);
  fillPickers(asked, siteOf(asked.funnel)?.timezone ?? "UTC");
  const mine = { ...asked, views: build(asked) };
  shown = mine;
  document.title = `${asked.funnel.name} · Rungs`;
  const current = (act) => (value) => { if (mine === shown) act(value); };
  numbers = followNumbers(asked, {
    numbers: current(show),
    alive: current(heard),
    waiting: current((text) => fresh(text === "Connecting" ? "waiting" : "broken", text)),
    problem: current((error) => { fresh("broken", "No numbers"); notice("problem", `${error.message.replace(/\.$/, "")}. The page tries again by itself.`); }),
    refused: current(refuse),
  });
  refresh();
}

/** Says why there is nothing, and tries again. */
function refuse(error) {
  numbers?.close();
  shown = null;
  fresh("broken", "No numbers");
  notice("", "");
  if (["token_needed", "wrong_token"].includes(error.code)) {
    view().replaceChildren(tokenForm(error, (token) => { keepToken(token); start(); }));
    return;
  }
  view().replaceChildren(failure(error));
  setTimeout(start, RETRY_MS);
}

function build(asked) {
  const { funnel, period, breakdown } = asked;
  const isDay = DAYS.includes(period);
  const views = {
    rates: ratesView(), ladder: ladderView(funnel), strangers: strangersView(), guide: null, guideSlot: h("div", {}),
    breakdown: breakdown ? breakdownView(funnel, breakdown) : null,
    trend: isDay ? null : trendView(funnel, period),
    arriving: arrivingView(funnel, (isOpen) => remember("arriving", isOpen ? "open" : "")),
    stuck: stuckView(funnel, isDay ? funnel.default_window : period),
  };
  const zone = siteOf(funnel)?.timezone ?? "UTC";
  const about = isDay ? `${funnel.site} · only events of ${period}, ${zone}` : `${funnel.site} · up to ${funnel.conversion_window} from the first step to the last`;
  view().replaceChildren(
    h("div", { class: "title" }, h("h1", {}, funnel.name), h("p", { class: "quiet" }, about),
      h("button", { type: "button", class: "plain", onclick: () => download(asked) }, "Download CSV")),
    views.guideSlot,
    views.strangers.element,
    h("div", { class: "numbers" }, views.rates.element,
      h("section", { class: "card", "aria-label": "Ladder" }, views.ladder.element),
      ...(views.breakdown ? [views.breakdown.element] : []),
      ...(views.trend ? [views.trend.element] : []),
      views.arriving.element,
      views.stuck.element));
  if (asked.arriving) views.arriving.open();
  return views;
}

async function download(asked) {
  const { address, params } = question(asked);
  try {
    const { text } = await get(address, { ...params, format: "csv" }, "", "text");
    save(text, `${asked.funnel.site}-${asked.funnel.id}-${asked.period}.csv`);
  } catch (error) {
    notice("problem", error.message);
  }
}

function show(answer) {
  const { views, funnel } = shown;
  const isEmpty = answer.steps.every((step) => step.visitors === 0);
  if (answer.state === "building") {
    const old = answer.steps.length ? "Until that is done, the numbers below are those from before." : "Numbers follow when that is done.";
    notice("building", `Counting past events: ${percent(answer.progress)}. ${old}`, answer.progress);
  } else notice("", "");
  if (isEmpty !== (views.guide !== null)) {
    views.guide = isEmpty ? firstEvent(funnel, siteOf(funnel), shown.period) : null;
    views.guideSlot.replaceChildren(...(views.guide ? [views.guide] : []));
    if (isEmpty) views.arriving.open();
  }
  views.rates.update(answer.rates);
  views.ladder.update(answer.steps);
  views.breakdown?.update(answer);
  views.trend?.now(answer);
  const isFirst = !shown.began;
  shown.began = answer.from && { at: answer.from, heard: Date.now() };
  if (isFirst) refreshPrevious();
}

/** Reads what is not in the stream. */
async function read(address, params, update, failed = () => {}) {
  const mine = shown;
  if (!mine) return;
  try {
    const answer = await get(address, params);
    if (mine === shown) update(answer, mine.views);
  } catch (error) {
    // The numbers say what is wrong; what is shown stays.
    if (mine === shown) failed(error, mine.views);
  }
}

function refresh() {
  refreshTrend();
  refreshStrangers();
  refreshPrevious();
}

function refreshTrend() {
  if (!shown?.views.trend) return;
  read(path(shown.funnel, "history"), { window: shown.period }, (answer, views) => {
    views.trend.update(answer);
    const span = { site: answer.site, from: answer.from, to: answer.to };
    read("/api/v1/annotations", span, (found) => views.trend.note(answer, found.annotations));
  });
}

function refreshStrangers() {
  if (shown) read(`/api/v1/sites/${encodeURIComponent(shown.funnel.site)}/events`, {}, (answer, views) => views.strangers.update(answer.events, views.guide !== null));
}

/** The numbers that today's are compared with, once the first ones say when their span began. */
function refreshPrevious() {
  if (!shown?.compare || !shown.began) return;
  const { address, params, isDay } = question(shown, true);
  const name = previousOf(shown.period);
  const none = (_, views) => views.ladder.compare(null, name);
  const ask = () => read(address, params,
    (answer, views) => { views.rates.compare(answer.rates, name); views.ladder.compare(answer.steps, name); }, none);
  if (isDay) ask();
  else ifKept(ask, none);
}

/** Asks the history first, which answers what is not kept with gaps: a refusal would be an error in the browser's console. */
function ifKept(ask, none) {
  // Numbers that did not change are not sent again; their window moved on.
  const then = shown.began.at + Math.floor((Date.now() - shown.began.heard) / MINUTE_MS) * MINUTE_MS;
  read(path(shown.funnel, "history"), { window: shown.period, from: then - HOUR_MS, to: then, points: 60 }, ({ points }, views) => {
    // Of longer ago only hours' ends are kept.
    const isKept = points.some(({ at, visitors }) => visitors !== null && (at === then || at % HOUR_MS === 0));
    if (isKept) ask();
    else none(null, views);
  }, none);
}

followPickers(open);
addEventListener("popstate", () => { if (catalog.funnels.length) open(); });
setInterval(refresh, REFRESH_MS);
// Whoever sends a first event and sees nothing arrive looks here for the reason.
setInterval(() => { if (shown?.views.guide) refreshStrangers(); }, GUIDE_REFRESH_MS);
start();
