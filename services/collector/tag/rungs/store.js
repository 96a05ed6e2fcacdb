// The browser's storage, which may be missing, blocked or full. What cannot be stored is kept in memory, so the rest of the
// tag need not know. Nothing is written before the visitor's consent, where the page waits for one; without cookies
// nothing but the visitor's choice ever is.

import { cookieless } from "./settings.js";

const memory = {};

// 32 hexadecimal digits.
export const random = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => (byte + 256).toString(16).slice(1)).join("");

export const read = (key) => {
  try {
    return memory[key] || localStorage.getItem(key);
  } catch (error) {
    return memory[key];
  }
};

// Whether the browser stored it.
export const write = (key, value, always) => {
  try {
    if (always || !cookieless) {
      localStorage.setItem(key, value);
      return true;
    }
  } catch (error) {}
  memory[key] = value;
};

export const remove = (key) => {
  delete memory[key];
  try {
    localStorage.removeItem(key);
  } catch (error) {}
};

// The keys that begin with a prefix, sorted.
export const keys = (prefix) => {
  let all = Object.keys(memory);
  try {
    all = all.concat(Object.keys(localStorage));
  } catch (error) {}
  return all.filter((key) => key.startsWith(prefix)).sort();
};

const cookie = (key, value, seconds) => {
  try {
    document.cookie = key + "=" + encodeURIComponent(value) + ";path=/;samesite=lax;max-age=" + seconds;
  } catch (error) {}
};

// The visitor's id and choice are also looked for, and where storage is blocked kept, in a cookie of the page's own host.
export const recall = (key) => {
  try {
    return read(key) || decodeURIComponent(("; " + document.cookie).split("; " + key + "=")[1].split(";")[0]);
  } catch (error) {}
};

export const remember = (key, value) => write(key, value, 1) || cookie(key, value, 34e6);

export const forget = (key) => {
  remove(key);
  cookie(key, "", 0);
};
