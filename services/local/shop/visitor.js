// Who is looking, in which context, and what is in their cart: kept in this browser.

import { call } from "./api.js";
import { freshId } from "./dom.js";

// Households of the demo data with many orders; offered where the running Freshet knows them.
const HOUSEHOLDS = ["u_2337", "u_771", "u_1453", "u_2459"];
const CART_MAX = 100; // the lines that one order may have
const LIKES_MAX = 200; // hearts that are remembered; the profile forgets sooner

/** "change": somebody else looks, or in another context. "cart", "likes": theirs have changed. */
export const visitor = new EventTarget();

const unkept = {}; // what a browser that keeps nothing, or is full, has until the page is left
const stored = (name, fallback) => {
  try {
    return unkept[name] ?? JSON.parse(localStorage.getItem(name)) ?? fallback;
  } catch {
    return fallback;
  }
};
const store = (name, value) => {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    delete unkept[name];
  } catch {
    unkept[name] = value;
  }
};

visitor.own = stored("freshet-own", null);
visitor.isNew = visitor.own === null;
if (visitor.isNew) renew();
visitor.id = stored("freshet-visitor", visitor.own);
visitor.context = stored("freshet-context", {});
visitor.households = [];

function renew() {
  visitor.own = `visitor-${freshId().slice(0, 8)}`;
  store("freshet-own", visitor.own);
}

/** Look as `id`. */
export function become(id) {
  visitor.id = id;
  visitor.isNew = false;
  store("freshet-visitor", id);
  visitor.dispatchEvent(new Event("change"));
  visitor.dispatchEvent(new Event("cart"));
}

/** Look as somebody nobody has seen before. */
export function becomeNew() {
  renew();
  store("freshet-visitor", visitor.own);
  visitor.id = visitor.own;
  visitor.isNew = true;
  visitor.dispatchEvent(new Event("change"));
  visitor.dispatchEvent(new Event("cart"));
}

/** Country, language, device: what lists are shaped by. Empty: not said. */
export function setContext(name, value) {
  const { [name]: _, ...others } = visitor.context;
  visitor.context = value ? { ...others, [name]: value } : others;
  store("freshet-context", visitor.context);
  visitor.dispatchEvent(new Event("change"));
}

/** Asks which households of the demo are here, and what they are after. */
export async function findHouseholds() {
  const found = await Promise.all(
    HOUSEHOLDS.map(async (id) => {
      const profile = await call(`/users/${id}/profile`).catch(() => null);
      if (!profile?.events) return null;
      const interest = profile.interests[0]?.category.split(" > ").pop();
      return { id, text: `${id}: ${profile.events} events${interest ? `, ${interest}` : ""}` };
    }),
  );
  visitor.households = found.filter(Boolean);
}

const cartName = () => `freshet-cart-${visitor.id}`;

/** The lines of the cart: { item, quantity, recommendation_id }. */
export const cart = () => stored(cartName(), []);

function keep(lines) {
  store(cartName(), lines.slice(0, CART_MAX));
  visitor.dispatchEvent(new Event("cart"));
}

export function putIntoCart(item, recommendationId) {
  const lines = cart();
  const line = lines.find((one) => one.item.item_id === item.item_id);
  if (line) line.quantity += 1;
  else {
    const { item_id, title, price, currency, categories } = item;
    lines.push({ item: { item_id, title, price, currency, categories }, quantity: 1, recommendation_id: recommendationId });
  }
  keep(lines);
}

export const takeFromCart = (itemId) => keep(cart().filter((line) => line.item.item_id !== itemId));

export const emptyCart = () => keep([]);

const likesName = () => `freshet-likes-${visitor.id}`;

/** Whether the visitor has liked an item, here. */
export const likes = (itemId) => stored(likesName(), []).includes(itemId);

export function noteLike(itemId) {
  const others = stored(likesName(), []).filter((one) => one !== itemId);
  store(likesName(), [...others, itemId].slice(-LIKES_MAX));
  visitor.dispatchEvent(new Event("likes"));
}
