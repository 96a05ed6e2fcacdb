// Follows the numbers of what is shown: a stream for rolling windows, a look every few seconds for days. A stream that says
// nothing for long, or a computer that slept, begins again.

import { DAYS } from "./address.js";
import { get, path, stream } from "./api.js";

/** A day's events are read anew this often, for all who look. */
const DAY_MS = 10000;
const RETRY_MS = 5000;
/** Without a word from the stream for this long (a heartbeat comes every 15 s) the numbers are stale. */
const SILENCE_MS = 40000;
const TICK_MS = 2000;
/** Ticks so far apart: the computer slept, or the page was put aside. */
const SLEPT_MS = 15000;

/** Where the numbers of a period are, and those before them. */
export function question({ funnel, period, breakdown }, previous = false) {
  const isDay = DAYS.includes(period);
  const params = { ...(isDay ? { day: period } : { window: period }), ...(breakdown ? { breakdown } : {}), ...(previous ? { previous: "true" } : {}) };
  return { address: path(funnel, isDay ? "report" : "live"), params, isDay };
}

/**
 * Calls `on.numbers(answer)`, `on.alive(asOf)`, `on.waiting(text)`, `on.problem(error)` (it goes on by itself) and
 * `on.refused(error)` (it ended) until `close()`.
 */
export function follow(wanted, on) {
  const { address, params, isDay } = question(wanted);
  let source = null;
  let timer = 0;
  let closed = false;
  let heardAt = Date.now();
  let tickedAt = Date.now();
  const still = (act) => (value) => { if (!closed) { heardAt = Date.now(); act(value); } };

  async function look() {
    clearTimeout(timer);
    try {
      const answer = await get(address, params);
      if (closed) return;
      on.numbers(answer);
      on.alive(answer.as_of);
      timer = setTimeout(isDay ? look : listen, isDay ? DAY_MS : RETRY_MS);
    } catch (error) {
      if (closed) return;
      const isPassing = ["unreachable", "clickhouse_unavailable"].includes(error.code);
      if (isPassing) { on.problem(error); timer = setTimeout(look, RETRY_MS); } else on.refused(error);
    }
  }

  function listen() {
    source?.close();
    if (closed) return;
    heardAt = Date.now();
    source = stream(wanted.funnel, params, {
      live: still((answer) => { on.numbers(answer); on.alive(answer.as_of); }),
      heartbeat: still((beat) => on.alive(beat.as_of)),
      problem: still((error) => on.problem(error)),
      reconnecting: () => { if (!closed) on.waiting("Reconnecting"); },
      // The browser gave up; a plain request tells why.
      closed: () => { if (!closed) { on.waiting("Disconnected"); look(); } },
    });
  }

  function again(text) {
    on.waiting(text);
    if (isDay) look();
    else listen();
  }

  const ticks = setInterval(() => {
    const now = Date.now();
    const slept = now - tickedAt > SLEPT_MS && !document.hidden;
    tickedAt = now;
    if (slept || (!isDay && source?.readyState === EventSource.OPEN && now - heardAt > SILENCE_MS)) again("Catching up");
  }, TICK_MS);
  const online = () => again("Catching up");
  addEventListener("online", online);

  on.waiting("Connecting");
  if (isDay) look();
  else listen();
  return {
    close() {
      closed = true;
      source?.close();
      clearTimeout(timer);
      clearInterval(ticks);
      removeEventListener("online", online);
    },
  };
}
