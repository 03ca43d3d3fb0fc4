// Makes elements. Strings always become text nodes, never markup.

/** @import { Child, Options } from "../types.js" */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {string} S
 * @typedef {S extends `${infer N}.${string}` ? ElementOf<N> : ElementOf<S>} Made
 */
/**
 * @template {string} N
 * @typedef {N extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[N] : HTMLElement} ElementOf
 */

/**
 * `h("button.quiet", {type: "button", onclick: f}, "text", child)`.
 *
 * @template {string} S
 * @param {S} selector
 * @param {[Options, ...Child[]] | Child[]} rest
 * @returns {Made<S>}
 */
export function h(selector, ...rest) {
  const [name, ...classes] = selector.split(".");
  const element = /** @type {Made<S>} */ (document.createElement(name));
  if (classes.length) element.className = classes.join(" ");
  const [first, ...others] = rest;
  const isOptions = first instanceof Object && !(first instanceof Node) && !Array.isArray(first);
  for (const [key, value] of Object.entries(isOptions ? first : {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    else if (key in element && typeof value !== "string") Object.assign(element, { [key]: value });
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  const children = /** @type {Child[]} */ (isOptions ? others : rest);
  element.append(...shown(children));
  return element;
}

/**
 * The children that there are, in one list.
 *
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
export const shown = (children) =>
  children.flatMap((child) => {
    if (Array.isArray(child)) return shown(child);
    if (child === null || child === undefined || child === false) return [];
    return [child instanceof Node ? child : String(child)];
  });

/**
 * The element within `root` that `selector` names and that is always there.
 *
 * @template {string} S
 * @param {S} selector
 * @param {ParentNode} root
 */
export const existing = (selector, root = document) => /** @type {ElementOf<S>} */ (root.querySelector(selector));

/**
 * A line drawing on a 24 × 24 grid, decoration only.
 *
 * @param {string[]} paths
 */
export function icon(...paths) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  for (const d of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/**
 * @template {keyof SVGElementTagNameMap} N
 * @param {N} name
 * @param {Record<string, string>} attributes
 * @param {(Node | string | (Node | string)[])[]} children
 */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat());
  return element;
}

export const ICONS = {
  bell: ["M6 10a6 6 0 1 1 12 0c0 5 2 6 2 6H4s2-1 2-6", "M10 20a2.2 2.2 0 0 0 4 0"],
  time: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", "M12 7v5l3.5 2"],
  live: ["M3 12s3.5-6 9-6 9 6 9 6-3.5 6-9 6-9-6-9-6", "M12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5"],
  book: ["M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3z", "M9 9h6M9 13h4"],
  gear: ["M4 7h9M17 7h3M4 17h3M11 17h9", "M15 5a2 2 0 1 0 0 4 2 2 0 0 0 0-4M9 15a2 2 0 1 0 0 4 2 2 0 0 0 0-4"],
  play: ["M8 5.5v13l11-6.5z"],
  sound: ["M5 9.5h3l4-3.5v12l-4-3.5H5z", "M15.5 9a4.2 4.2 0 0 1 0 6", "M18 6.8a7.4 7.4 0 0 1 0 10.4"],
  lock: ["M6 11h12v9H6z", "M8.5 11V8a3.5 3.5 0 0 1 7 0v3"],
  pin: ["M9 4h6l-1 6 3 3H7l3-3z", "M12 13v7"],
  back: ["M14.5 5.5 8 12l6.5 6.5"],
};
