// Makes elements. Text is always text, never markup, so that no name of a step or value can become code.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "line", "circle", "title", "g"]);

/** An element with attributes (`class`, `aria-…`, `on…` functions) and children (nodes, texts, null for nothing). */
export function h(tag, attributes, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets a text only where it changed, so that a selection on the page survives updates. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
