// Numbers as people read them. A missing number is a dash.

const whole = new Intl.NumberFormat();
const one = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const small = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

export const DASH = "–";

/** Fewer visitors than this are chance: what changed among them is told as it is, without a mark or a percentage. */
export const FEW_VISITORS = 30;

export const count = (value) => (value === null || value === undefined ? DASH : whole.format(value));

/** `visitor` for one, else `visitors`. */
export const visitors = (value) => (value === 1 ? "visitor" : "visitors");

/** 0.314 as 31.4 %, with two digits below 1 %. */
export function percent(ratio) {
  if (ratio === null || ratio === undefined) return DASH;
  const value = ratio * 100;
  if (value === 0 || value === 100) return `${value}\u202f%`;
  return `${value < 1 ? small.format(value) : one.format(value)}\u202f%`;
}

const UNITS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];

/** Seconds as s, min, h or d. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  const [, divisor, unit] = UNITS.find(([below]) => seconds < below);
  const value = seconds / divisor;
  return `${value < 10 ? one.format(value) : whole.format(Math.round(value))}\u202f${unit}`;
}

export const time = (ms) => clock.format(ms);
export const moment = (ms) => minute.format(ms);
export const date = (ms) => day.format(ms);

/** How long ago a time was: `12 s ago`. */
export function ago(ms) {
  const seconds = Math.floor(Math.max(0, Date.now() - ms) / 1000);
  if (seconds < 1) return "now";
  const [, divisor, unit] = UNITS.find(([below]) => seconds < below);
  return `${whole.format(Math.floor(seconds / divisor))}\u202f${unit} ago`;
}

/** `opt_in` as `opt in`. */
export const words = (name) => name.replaceAll("_", " ");
