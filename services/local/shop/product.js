// One product on the stage.

import { ApiError, call } from "./api.js";
import { addButton, likeButton, opened, titleOf } from "./card.js";
import { h, money, path } from "./dom.js";
import { tile } from "./tiles.js";
import { track } from "./track.js";

/** Shows the product in `stage` with `aside` at its right, and posts that it was looked at. */
export async function showProduct(stage, itemId, aside) {
  const known = opened?.item.item_id === itemId ? opened : null;
  const recommendation_id = known?.recommendationId;
  const looked = (item) => track({ event_type: "view", item_id: itemId, recommendation_id }, `Viewed: ${titleOf(item)}`);
  if (known) {
    looked(known.item);
    stage.replaceChildren(product(known.item, recommendation_id, aside));
    return;
  }
  stage.replaceChildren(h("section", { class: "product" }, h("h1", { tabindex: "-1" }, "…")));
  let item;
  try {
    item = await call(`/items/${encodeURIComponent(itemId)}`);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    stage.replaceChildren(missing(error));
    return;
  }
  looked(item);
  stage.replaceChildren(product(item, undefined, aside));
  document.title = `${titleOf(item)} – Freshet`;
}

const missing = (error) =>
  h("section", { class: "notice" }, h("h1", { tabindex: "-1" }, error.status === 404 ? "No such product" : "This product cannot be shown now"), h("p", {}, error.message), h("p", {}, h("a", { href: "/" }, "Back to the shop")));

function product(item, recommendationId, aside) {
  const facts = [
    ["Shelf", (item.categories ?? []).map(path).join(", ")],
    ["Brand", item.brand],
    ["Item id", item.item_id],
  ].filter(([, value]) => value);
  return h(
    "section",
    { class: "product", "aria-labelledby": "product-title" },
    h("div", { class: "picture" }, tile(item, `Drawing for ${titleOf(item)}`)),
    h(
      "div",
      { class: "product-text" },
      h("p", { class: "crumbs" }, h("a", { href: "/" }, "← Shop")),
      h("h1", { id: "product-title", tabindex: "-1", dir: "auto" }, titleOf(item)),
      typeof item.price === "number" && h("p", { class: "price" }, money(item.price, item.currency)),
      h("dl", {}, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      h(
        "div",
        { class: "acts" },
        addButton(item, () => recommendationId, "Add to the cart"),
        likeButton(item, () => recommendationId, true),
      ),
    ),
    aside,
  );
}
