// One product in a row: picture, title, price, and why it is here.

import { h, money, path, say } from "./dom.js";
import { tile } from "./tiles.js";
import { cameWith, track } from "./track.js";
import { likes, noteLike, putIntoCart, visitor } from "./visitor.js";

const DONE_MS = 1600;

/** The last part of the first category: what the shelf says. */
export const shelf = (item) => (item.categories?.[0] ?? []).slice(-1)[0] ?? "";
export const titleOf = (item) => item.title || item.item_id;
export const itemUrl = (itemId) => `/?${new URLSearchParams({ item: itemId })}`;
export const filmUrl = (itemId) => `/watch?${new URLSearchParams({ film: itemId })}`;

/** Puts an item into the cart, and tells Freshet. */
export function addToCart(item, recommendationId) {
  putIntoCart(item, recommendationId);
  say(`${titleOf(item)} is in your cart`);
  const money = typeof item.price === "number" ? { price: item.price, quantity: 1, currency: item.currency || undefined } : {};
  track({ event_type: "cart_add", item_id: item.item_id, recommendation_id: recommendationId, ...money }, `Added to the cart: ${titleOf(item)}`);
}

export function like(item, recommendationId) {
  noteLike(item.item_id);
  say(`You like ${titleOf(item)}`);
  track({ event_type: "like", item_id: item.item_id, recommendation_id: recommendationId }, `Liked: ${titleOf(item)}`);
}

/** Says for a moment that it has been done; the cart's number stays. */
export function addButton(item, answer, text, attributes = {}) {
  let timer = 0;
  const add = h(
    "button",
    {
      class: "add",
      ...attributes,
      onclick: () => {
        addToCart(item, answer());
        add.textContent = "Added ✓";
        clearTimeout(timer);
        timer = setTimeout(() => (add.textContent = text), DONE_MS);
      },
    },
    text,
  );
  return add;
}

/**
 * Whoever likes an item likes it in every row. No switch: there is no event that takes a like back, and one more
 * counts. `isWide`: words are seen beside the heart; else they are only heard.
 */
export function likeButton(item, answer, isWide = false) {
  const words = h("span", { class: isWide ? "" : "visually-hidden" });
  const heart = h("button", { class: "like", "data-like": item.item_id, "data-title": titleOf(item), onclick: () => like(item, answer()) }, h("span", { "aria-hidden": "true" }, "♥"), words);
  showLike(heart);
  return heart;
}

function showLike(heart) {
  const liked = likes(heart.dataset.like);
  heart.classList.toggle("liked", liked);
  const words = heart.lastElementChild;
  const isSeen = !words.className;
  words.textContent = (liked ? "You like" : "Like") + (isSeen ? " this" : ` ${heart.dataset.title}`);
}

for (const change of ["likes", "change"]) {
  visitor.addEventListener(change, () => document.querySelectorAll("[data-like]").forEach(showLike));
}

/** The card that was clicked last: its product can be shown before anybody is asked. */
export let opened = null; // { item, recommendationId }

export function productCard(item) {
  const why = h("p", { class: "reason" }, item.reason?.text ?? "");
  const link = h("a", { href: itemUrl(item.item_id) }, titleOf(item));
  const answer = () => cameWith(element) || undefined;
  const heart = likeButton(item, answer);
  const add = addButton(item, answer, "Add", { "aria-label": `Add ${titleOf(item)} to the cart` });
  const element = h(
    "li",
    { class: "card" },
    h("div", { class: "picture" }, tile(item)),
    h("h3", { dir: "auto" }, link),
    h("p", { class: "facts" }, h("b", {}, money(item.price, item.currency)), h("span", {}, shelf(item) || path(item.brand))),
    why,
    h("div", { class: "acts" }, add, heart),
  );
  link.addEventListener("click", () => {
    opened = { item, recommendationId: answer() };
  });
  return {
    element,
    update(newer) {
      const text = newer.reason?.text ?? "";
      if (why.textContent !== text) why.textContent = text;
    },
  };
}
