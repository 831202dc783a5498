// Makes elements, and puts numbers into words. Nothing here parses HTML: texts stay texts.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `attributes`: `onclick` and the like are listeners, true and false set or leave out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Tells a screen reader, once the present sentence is over. */
export function say(text) {
  const said = document.getElementById("said");
  said.textContent = said.textContent === text ? `${text} ` : text;
}

// By hand: the first Intl.NumberFormat of a page takes 20 to 35 ms, a tenth of the time to the first rows.
const SIGNS = { USD: "$", EUR: "€", GBP: "£", JPY: "¥", INR: "₹" };
const WHOLE = new Set(["JPY", "KRW", "CLP", "VND"]); // currencies without cents

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");

/** A price with its currency; nothing where there is no price. */
export function money(price, currency) {
  if (typeof price !== "number") return "";
  const [whole, cents] = price.toFixed(WHOLE.has(currency) ? 0 : 2).split(".");
  const amount = grouped(whole) + (cents ? `.${cents}` : "");
  if (!currency) return amount;
  return SIGNS[currency] ? SIGNS[currency] + amount : `${currency} ${amount}`;
}

/** Milliseconds with as many digits as mean something. */
export const ms = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0)) + " ms";

export const count = (value) => grouped(String(Math.round(value)));

/** A path of categories as one text. */
export const path = (category) => (Array.isArray(category) ? category.join(" > ") : String(category ?? ""));

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Resolves when what was changed is on the screen. */
export const painted = () =>
  new Promise((resolve) => {
    if (document.hidden) setTimeout(resolve);
    else requestAnimationFrame(() => setTimeout(resolve));
  });

/** A small unsigned hash of a text: the same picture for the same title, everywhere. */
export function hash(text) {
  let value = 2166136261;
  for (let place = 0; place < text.length; place++) {
    value = Math.imul(value ^ text.charCodeAt(place), 16777619);
  }
  value ^= value >>> 15;
  return Math.imul(value, 2246822519) >>> 0;
}

/** An id that nobody else has, also where the page came over plain HTTP. */
export function freshId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
