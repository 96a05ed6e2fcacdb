// Whether events may be sent: the visitor's own choice, the browser's signals as far as the page honours them, and the
// page's wish to ask first. Read anew for each event, so that a choice in one tab holds in all.

import { settings } from "./settings.js";
import { recall } from "./store.js";

export const CHOICE = "rungs.consent";

// "granted", "denied" or "wait".
export const consent = () =>
  (settings.gpc != "off" && navigator.globalPrivacyControl) || (settings.dnt == "on" && navigator.doNotTrack == 1)
    ? "denied"
    : recall(CHOICE) || (settings.consent == "wait" ? "wait" : "granted");
