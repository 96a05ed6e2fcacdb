// What the page wrote into the tag's own element: `<script async src="…/rungs.js" data-key="…">`.

// `currentScript` is null in a module; the second look finds the element there too.
export const script = document.currentScript || document.querySelector("script[data-key][src]") || {};

// The attributes: key, endpoint, consent, gpc, dnt, pages, extra, cookieless.
export const settings = script.dataset || {};

// Whether nothing may be stored; the collector then tells visitors apart, for a day.
export const cookieless = "cookieless" in settings;

// Events go to where the tag came from: whatever name and path a proxy gave it, one location serves both. The query makes it
// another address for caches: a POST to the very address of the tag would remove the tag from the browser's cache.
export const endpoint = settings.endpoint || (script.src || "").replace(/[?#].*/, "") + "?events";
