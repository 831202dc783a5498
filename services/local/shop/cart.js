// The cart on the stage; checking out is one purchase with its lines.

import { itemUrl, titleOf } from "./card.js";
import { freshId, h, money, say } from "./dom.js";
import { tile } from "./tiles.js";
import { track } from "./track.js";
import { cart, emptyCart, takeFromCart, visitor } from "./visitor.js";

export function showCart(stage) {
  const place = h("section", { class: "cart", "aria-labelledby": "cart-title" });
  stage.replaceChildren(place);
  draw(place);
  const again = () => (place.isConnected ? draw(place) : visitor.removeEventListener("cart", again));
  visitor.addEventListener("cart", again);
}

function draw(place) {
  if (place.dataset.ordered) return;
  const lines = cart();
  const title = h("h1", { id: "cart-title", tabindex: "-1" }, "Your cart");
  if (!lines.length) {
    place.replaceChildren(title, h("p", {}, "Nothing in it yet. ", h("a", { href: "/" }, "To the shop")));
    return;
  }
  const total = sum(lines);
  place.replaceChildren(
    title,
    h("ul", { class: "lines" }, lines.map((line) => lineOf(line, place))),
    h("p", { class: "total" }, "Total ", h("b", {}, money(total, lines[0].item.currency))),
    h("button", { class: "add", onclick: () => checkout(place) }, "Check out"),
  );
}

const sum = (lines) => Math.round(lines.reduce((all, { item, quantity }) => all + (item.price ?? 0) * quantity, 0) * 100) / 100;

function lineOf({ item, quantity }, place) {
  const remove = () => {
    takeFromCart(item.item_id);
    say(`${titleOf(item)} is out of your cart`);
    place.querySelector("h1").focus();
    track({ event_type: "cart_remove", item_id: item.item_id, quantity }, `Removed from the cart: ${titleOf(item)}`);
  };
  return h(
    "li",
    {},
    h("div", { class: "picture" }, tile(item)),
    h("a", { href: itemUrl(item.item_id), dir: "auto" }, titleOf(item)),
    h("span", { class: "quantity" }, [String(quantity), money(item.price, item.currency)].filter(Boolean).join(" × ")),
    h("button", { "aria-label": `Remove ${titleOf(item)}`, onclick: remove }, "Remove"),
  );
}

function checkout(place) {
  const lines = cart();
  const order_id = `order-${freshId().slice(0, 12)}`;
  const total = sum(lines);
  const currency = lines.find(({ item }) => item.currency)?.item.currency;
  const event = {
    event_type: "purchase",
    order_id,
    value: total,
    ...(currency ? { currency } : {}),
    ...(lines[0].recommendation_id ? { recommendation_id: lines[0].recommendation_id } : {}),
    items: lines.map(({ item, quantity }) => ({ item_id: item.item_id, quantity, ...(typeof item.price === "number" ? { price: item.price } : {}) })),
  };
  place.dataset.ordered = "1";
  emptyCart();
  place.replaceChildren(
    h("h1", { id: "cart-title", tabindex: "-1" }, "Thank you"),
    h("p", {}, `${order_id}: ${lines.length} ${lines.length === 1 ? "product" : "products"} for ${money(total, currency)}. Nobody will deliver it, but your profile has it, and what is bought together counts it.`),
    h("p", {}, h("a", { href: "/" }, "Back to the shop")),
  );
  place.querySelector("h1").focus();
  say("Ordered");
  track(event, `Bought: ${lines.length} ${lines.length === 1 ? "product" : "products"}`);
}
