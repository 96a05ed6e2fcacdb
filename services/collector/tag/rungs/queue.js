// From an event to the collector. Each event is stored under a key of its own until an answer says that the collector has
// it: a page that closes, a browser that ends and an hour without a network lose nothing, and tabs never overwrite
// each other's. The collector may get an event twice and counts it once, by the messageId that is part of its key.

import { endpoint, settings } from "./settings.js";
import { guard, listen } from "./guard.js";
import { keys, random, read, remove, write } from "./store.js";
import { consent } from "./consent.js";

// With the key: parts of an origin may belong to different sites.
const PREFIX = "rungs." + settings.key + ".";
// Stored events, at most; beyond, the oldest goes.
const MAX_STORED = 300;
// Events of one request, at most.
const MAX_SENT = 100;
// A first repetition, and the age from which an event is repeated by whatever page is open.
const RETRY_MS = 5e3;
const MAX_RETRY_MS = 3e5;
// Browsers let a request outlive its page up to 64 KiB; a character takes up to three bytes.
const MAX_KEEPALIVE = 2e4;

let pause = RETRY_MS;
let timer;
// Stored and not yet sent; sent and not yet answered.
let fresh = [];
let open = [];

// Unique, and in the order of time: eight digits of base 36 until the year 2059, then four that count.
let count = 36 ** 3;
export const messageId = () => Date.now().toString(36) + (count++).toString(36) + random();

const stored = () => keys(PREFIX);

export const enqueue = (event) => {
  const key = PREFIX + event.messageId;
  write(key, JSON.stringify(event));
  stored().slice(0, -MAX_STORED).map(remove);
  // All of one turn go together, and still before the page can be left.
  if (fresh.push(key) == 1) Promise.resolve().then(() => send(fresh.splice(0)));
};

export const clear = () => stored().map(remove);

const body = (sent) =>
  JSON.stringify({ writeKey: settings.key, sentAt: new Date() }).slice(0, -1) + ',"batch":[' + sent.map(read) + "]}";

// Resolves with whether there may be more to send. As text, a request needs no preflight.
const send = async (sent) => {
  // What another tab has delivered meanwhile is no longer there.
  sent = sent.filter(read);
  if (!sent[0] || consent() != "granted") return;
  const text = body(sent);
  open = open.concat(sent);
  try {
    const keepalive = text.length < MAX_KEEPALIVE;
    const { status } = await fetch(endpoint, { method: "POST", body: text, keepalive, credentials: "omit" });
    // Too busy, too slow, failing: later. Any other answer is final.
    if (status > 499 || status == 429 || status == 408) throw status;
    sent.map(remove);
    pause = RETRY_MS;
    return true;
  } catch (error) {
    clearTimeout(timer);
    timer = setTimeout(sweep, pause);
    pause = Math.min(2 * pause, MAX_RETRY_MS);
  } finally {
    open = open.filter((key) => !sent.includes(key));
  }
};

// Sends what earlier pages, other tabs and failed attempts left, the oldest first.
const repeat = async () => {
  const before = PREFIX + (Date.now() - RETRY_MS).toString(36);
  while (await send(stored().filter((key) => key < before).slice(0, MAX_SENT)));
};

// One tab at a time, where the browser can tell: the next finds nothing left.
const sweep = guard(() => {
  try {
    navigator.locks.request("rungs", repeat).catch(repeat);
  } catch (error) {
    repeat();
  }
});

export const start = () => {
  sweep();
  setTimeout(sweep, RETRY_MS + 500);
  listen(window, "online", sweep);
  // Where requests cannot outlive the page, a beacon can. It is not answered, so the events stay stored.
  if (!("keepalive" in Request.prototype))
    listen(window, "pagehide", () => open[0] && navigator.sendBeacon(endpoint, body(open)));
};
