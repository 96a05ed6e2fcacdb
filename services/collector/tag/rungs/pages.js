// Page views: the first, and in single-page apps each change of the path.

import { guard, listen } from "./guard.js";
import { record } from "./record.js";

let path;

export const page = (properties) => {
  path = location.pathname;
  record("page", undefined, Object.assign({ path }, properties));
};

const changed = guard(() => path != location.pathname && page());

export const watchPages = () => {
  for (const name of ["pushState", "replaceState"]) {
    const original = history[name];
    history[name] = function () {
      const result = original.apply(this, arguments);
      changed();
      return result;
    };
  }
  listen(window, "popstate", changed);
  // A page that comes back from the browser's memory is seen again.
  listen(window, "pageshow", (event) => event.persisted && page());
  // A page that is prepared in the background is not seen yet.
  if (document.prerendering) listen(document, "prerenderingchange", () => page());
  else page();
};
