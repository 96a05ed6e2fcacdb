// What the page shows is in its address, so that it can be shared: funnel, period, breakdown, comparison, and whether the
// list of arriving events is open.

/** Periods that are days in the site's time zone; every other one is a rolling window. */
export const DAYS = ["today", "yesterday"];

/** What the address asks for, where the plan has it; else the first there is. */
export function wanted(funnels) {
  const asked = new URLSearchParams(location.search);
  const funnel = funnels.find((each) => nameOf(each) === asked.get("funnel")) ?? funnels[0];
  const periods = [...funnel.rolling_windows, ...DAYS];
  return {
    funnel,
    period: periods.includes(asked.get("window")) ? asked.get("window") : funnel.default_window,
    breakdown: funnel.breakdowns.includes(asked.get("breakdown")) ? asked.get("breakdown") : "",
    compare: asked.get("compare") === "previous",
    arriving: asked.get("arriving") === "open",
  };
}

export const nameOf = (funnel) => `${funnel.site}/${funnel.id}`;

/** Puts what was picked into the address, as a step back for the browser's button. */
export function go({ funnel, period, breakdown, compare }) {
  const params = new URLSearchParams({ funnel });
  if (period) params.set("window", period);
  if (breakdown) params.set("breakdown", breakdown);
  if (compare) params.set("compare", "previous");
  const arriving = new URLSearchParams(location.search).get("arriving");
  if (arriving) params.set("arriving", arriving);
  history.pushState(null, "", `?${params}`);
}

/** Remembers a part that is no step back. */
export function remember(name, value) {
  const address = new URL(location.href);
  if (value) address.searchParams.set(name, value);
  else address.searchParams.delete(name);
  history.replaceState(null, "", address);
}

/** What a period is compared with, in words. */
export const previousOf = (period) => ({ today: "yesterday until now", yesterday: "the day before" })[period] ?? `the ${period} before`;
