// Who the visitor is, and what brought them. Nothing here is stored before an event may be sent.

import { forget, random, recall, remember } from "./store.js";
import { guard } from "./guard.js";
import { cookieless } from "./settings.js";

const ID = "rungs.id";
const VISIT = "rungs.visit";
// What tells where a visit came from; the rest of an address is nobody's business.
const TELLING = /^(utm_\w+|\w*clid|\w+braid|igshid|epik|li_fat_id|rdt_cid|mc_eid)=/i;

// The id that a link of /v1/click brought, once.
let linked;
let visit;

// Takes the link's id out of the address, so that it is neither shared nor bookmarked, and notes what brought the visitor.
export const arrive = guard(() => {
  linked = new URLSearchParams(location.search).get("rungs_id");
  if (linked) {
    const rest = location.search.slice(1).split("&").filter((part) => !/^rungs_id=/.test(part)).join("&");
    history.replaceState(history.state, "", location.pathname + (rest && "?" + rest) + location.hash);
  }
  const search = location.search.slice(1).split("&").filter((part) => TELLING.test(part)).join("&");
  const from = document.referrer;
  const isNew = search || (from && from.split("/")[2] != location.host);
  visit = !isNew && guard(() => JSON.parse(sessionStorage.getItem(VISIT)))() || { referrer: from, search: search && "?" + search };
});

// The id, made when it is first needed; none without cookies. `link` is told about the id of a link if the visitor has
// another one already.
export const visitor = (link) => {
  if (cookieless) return;
  let id = recall(ID);
  if (!id) remember(ID, (id = linked || random()));
  const other = linked;
  linked = 0;
  if (other && other != id) link(other);
  return id;
};

// What brought the visitor, for every page of the visit.
export const origin = () => {
  cookieless || guard(() => sessionStorage.setItem(VISIT, JSON.stringify(visit)))();
  return visit;
};

export const forgetVisitor = () => {
  forget(ID);
  linked = 0;
  guard(() => sessionStorage.removeItem(VISIT))();
};
