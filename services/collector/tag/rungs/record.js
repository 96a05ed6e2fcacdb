// From something that happened to an event, as Segment's Track spec has it. Before consent it waits in memory.

import { consent, CHOICE } from "./consent.js";
import { clear, enqueue, messageId } from "./queue.js";
import { forgetVisitor, origin, visitor } from "./visitor.js";
import { remember } from "./store.js";

const MAX_WAITING = 100;

let waiting = [];

export const record = (type, event, properties, more) => {
  const happened = Object.assign(
    { type, event, properties, messageId: messageId(), timestamp: new Date() },
    more,
    { context: { page: { path: location.pathname, url: location.origin + location.pathname }, locale: navigator.language, library: { name: "rungs.js" } } }
  );
  if (consent() == "wait") waiting.length < MAX_WAITING && waiting.push(happened);
  else pass(happened);
};

// The visitor's id, if there may be one. A link that brought another id leaves an alias of both.
export const identity = () =>
  consent() == "granted" ? visitor((previousId) => record("alias", undefined, undefined, { previousId })) : undefined;

const pass = (event) => {
  if (consent() != "granted") return;
  event.anonymousId = identity();
  Object.assign(event.context.page, origin());
  enqueue(event);
};

// "granted" or "denied"; kept until the visitor chooses anew.
export const choose = (choice) => {
  if (choice != "granted" && choice != "denied") return;
  if (choice == "denied") {
    clear();
    forgetVisitor();
    waiting = [];
  }
  remember(CHOICE, choice);
  if (consent() == "granted") waiting.splice(0).map(pass);
};
