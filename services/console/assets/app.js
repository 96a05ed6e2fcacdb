// The live page: reads what to show from its address, follows the stream of numbers, and keeps the page up to date.
// Start reading at `start`.

import { get, keepToken, path, stream, takeToken } from "./api.js";
import { breakdownView } from "./breakdown.js";
import { h, say } from "./dom.js";
import { percent, time } from "./format.js";
import { failure, firstEvent, noPlan, tokenForm } from "./guide.js";
import { ladderView, ratesView } from "./ladder.js";
import { strangersView } from "./strangers.js";
import { trendView } from "./trend.js";

const RETRY_MS = 5000;
const REFRESH_MS = 60000;
/** Without a word from the stream for this long (a heartbeat comes every 15 s) the numbers are stale. */
const SILENCE_MS = 40000;

const at = (id) => document.getElementById(id);
let catalog = { funnels: [], sites: [] };
let shown = null; // { funnel, window, breakdown, views }
let source = null;
let heardAt = 0;

async function start() {
  takeToken();
  try {
    const [funnels, sites] = await Promise.all([get("/api/v1/funnels"), get("/api/v1/sites")]);
    catalog = { funnels: funnels.funnels, sites: sites.sites };
  } catch (error) {
    refuse(error, start);
    return;
  }
  if (catalog.funnels.length === 0) {
    at("view").replaceChildren(noPlan());
    fresh("waiting", "Waiting for a plan");
    setTimeout(start, RETRY_MS);
    return;
  }
  fillFunnels();
  follow();
}

/** What the address asks for, where the plan has it; else the first there is. */
function wanted() {
  const asked = new URLSearchParams(location.search);
  const name = (funnel) => `${funnel.site}/${funnel.id}`;
  const funnel = catalog.funnels.find((each) => name(each) === asked.get("funnel")) ?? catalog.funnels[0];
  const windows = funnel.rolling_windows;
  const window = windows.includes(asked.get("window")) ? asked.get("window") : funnel.default_window;
  const breakdown = funnel.breakdowns.includes(asked.get("breakdown")) ? asked.get("breakdown") : "";
  return { funnel, window, breakdown };
}

/** Shows what the address asks for and follows its stream. */
function follow() {
  const { funnel, window, breakdown } = wanted();
  fillPickers(funnel, window, breakdown);
  shown = { funnel, window, breakdown, views: build(funnel, breakdown) };
  document.title = `${funnel.name} · Rungs`;
  listen();
  refreshTrend();
  refreshStrangers();
}

function listen() {
  source?.close();
  const mine = shown;
  const params = { window: mine.window, ...(mine.breakdown ? { breakdown: mine.breakdown } : {}) };
  const current = (act) => (value) => { if (mine === shown) act(value); };
  fresh("waiting", "Connecting");
  source = stream(mine.funnel, params, {
    live: current((answer) => { heard(answer.as_of); show(answer); }),
    heartbeat: current((beat) => heard(beat.as_of)),
    problem: current((error) => { heardAt = Date.now(); fresh("broken", "No numbers"); notice("problem", error.message); }),
    reconnecting: current(() => fresh("broken", "Reconnecting")),
    closed: current(() => askWhy(params)),
  });
}

/** The browser gave up on the stream; a plain request tells why. */
async function askWhy(params) {
  const mine = shown;
  fresh("broken", "Disconnected");
  try {
    show(await get(path(mine.funnel, "live"), params));
    setTimeout(() => { if (mine === shown) listen(); }, RETRY_MS);
  } catch (error) {
    if (mine === shown) refuse(error, start);
  }
}

/** Says why there is nothing, and tries again. */
function refuse(error, again) {
  source?.close();
  shown = null;
  fresh("broken", "No numbers");
  notice("", "");
  if (["token_needed", "wrong_token"].includes(error.code)) {
    at("view").replaceChildren(tokenForm(error, (token) => { keepToken(token); again(); }));
    return;
  }
  at("view").replaceChildren(failure(error));
  setTimeout(again, RETRY_MS);
}

function build(funnel, breakdown) {
  const views = { rates: ratesView(), ladder: ladderView(funnel), trend: trendView(funnel), strangers: strangersView(), guide: null };
  views.breakdown = breakdown ? breakdownView(funnel, breakdown) : null;
  views.guideSlot = h("div", {});
  at("view").replaceChildren(
    h("div", { class: "title" }, h("h1", {}, funnel.name), h("p", { class: "quiet" }, `${funnel.site} · up to ${funnel.conversion_window} from the first step to the last`)),
    views.guideSlot,
    views.strangers.element,
    h("div", { class: "numbers" }, views.rates.element,
      h("section", { class: "card", "aria-label": "Ladder" }, views.ladder.element),
      ...(views.breakdown ? [views.breakdown.element] : []),
      views.trend.element));
  return views;
}

function show(answer) {
  const { views, funnel } = shown;
  const isEmpty = answer.steps.every((step) => step.visitors === 0);
  if (answer.state === "building") {
    const old = answer.steps.length ? "Until that is done, the numbers below are those from before." : "Numbers follow when that is done.";
    notice("building", `Counting past events: ${percent(answer.progress)}. ${old}`, answer.progress);
  } else notice("", "");
  if (isEmpty !== (views.guide !== null)) {
    const site = catalog.sites.find((each) => each.id === funnel.site);
    views.guide = isEmpty ? firstEvent(funnel, site) : null;
    views.guideSlot.replaceChildren(...(views.guide ? [views.guide] : []));
  }
  views.rates.update(answer.rates);
  views.ladder.update(answer.steps);
  views.breakdown?.update(answer);
}

/** Reads what is not in the stream. */
async function read(address, params, update) {
  const mine = shown;
  if (!mine) return;
  try {
    const answer = await get(address, params);
    if (mine === shown) update(answer, mine.views);
  } catch {
    // The stream says what is wrong; what is shown stays.
  }
}

function refreshTrend() {
  if (shown) read(path(shown.funnel, "history"), { window: shown.window }, (answer, views) => views.trend.update(answer));
}

function refreshStrangers() {
  if (shown) read(`/api/v1/sites/${encodeURIComponent(shown.funnel.site)}/events`, {}, (answer, views) => views.strangers.update(answer.events, views.guide !== null));
}

function fillFunnels() {
  const sites = [...new Set(catalog.funnels.map((funnel) => funnel.site))];
  const option = (funnel) => h("option", { value: `${funnel.site}/${funnel.id}` }, funnel.name);
  at("funnel").replaceChildren(...sites.map((site) =>
    h("optgroup", { label: site }, catalog.funnels.filter((funnel) => funnel.site === site).map(option))));
  at("pickers").hidden = false;
}

function fillPickers(funnel, window, breakdown) {
  at("funnel").value = `${funnel.site}/${funnel.id}`;
  at("windows").replaceChildren(...funnel.rolling_windows.map((label) =>
    h("label", {}, h("input", { type: "radio", name: "window", value: label, checked: label === window }), h("span", {}, label))));
  at("breakdown").replaceChildren(h("option", { value: "" }, "nothing"), ...funnel.breakdowns.map((by) => h("option", { value: by }, by)));
  at("breakdown").value = breakdown;
  at("breakdown").closest("label").hidden = funnel.breakdowns.length === 0;
}

function picked() {
  const chosen = new FormData(at("pickers")).get("window");
  const params = new URLSearchParams({ funnel: at("funnel").value });
  if (chosen) params.set("window", chosen);
  if (at("breakdown").value) params.set("breakdown", at("breakdown").value);
  history.pushState(null, "", `?${params}`);
  const focused = document.activeElement;
  follow();
  if (focused?.name === "window") at("windows").querySelector("input:checked")?.focus();
}

function notice(kind, text, progress) {
  const place = at("notice");
  if (place.dataset.kind === kind && place.textContent === text) return;
  place.dataset.kind = kind;
  const bar = progress === undefined ? [] : [h("progress", { value: progress, max: 1, "aria-label": "Progress" })];
  place.replaceChildren(...(text ? [h("p", {}, text), ...bar] : []));
}

function heard(asOf) {
  heardAt = Date.now();
  if (at("notice").dataset.kind === "problem") notice("", "");
  if (asOf) fresh("live", `Live · ${time(asOf)}`);
  else fresh("waiting", "Waiting for numbers");
}

function fresh(state, text) {
  at("freshness").dataset.state = state;
  say(at("freshness-text"), text);
}

at("pickers").addEventListener("change", picked);
at("pickers").addEventListener("submit", (event) => event.preventDefault());
addEventListener("popstate", () => { if (catalog.funnels.length) follow(); });
setInterval(() => { refreshTrend(); refreshStrangers(); }, REFRESH_MS);
// Whoever sends a first event and sees nothing arrive looks here for the reason.
setInterval(() => { if (shown?.views.guide) refreshStrangers(); }, 5000);
setInterval(() => {
  if (shown && heardAt && Date.now() - heardAt > SILENCE_MS) { heardAt = Date.now(); listen(); }
}, 5000);
start();
