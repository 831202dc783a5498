// The shop: a stage (welcome, a product, the cart) above rows that follow the visitor.

import { productCard } from "./card.js";
import { SHOP } from "./early.js";
import { LivePage } from "./live.js";
import { ProfilePanel } from "./profile.js";
import { Row } from "./row.js";
import { h } from "./dom.js";
import { visitor } from "./visitor.js";

// What the first rows do not need comes behind them.
const later = {
  browse: () => import("./browse.js"),
  product: () => import("./product.js"),
  cart: () => import("./cart.js"),
  empty: () => import("./empty.js"),
};
const NONE_TOGETHER = "No two orders hold this together with another product yet. Put both into your cart and check out twice: then this row knows.";
const own = (code) => (item) => item.reason.code === code;

/** Shows it in `main`; answers { update(parameters), unmount() }. */
export function mountShop(main, parameters) {
  const row = (options) => new Row({ card: productCard, ...options });
  const forYou = row({ title: "For you", live: true, note: "rearranges with every click" });
  const recent = row({ title: "Recently viewed", hidden: visitor.isNew });
  const trending = row({ title: "Trending" });
  const arrivals = row({ title: "New arrivals", hidden: true });
  const similar = row({ title: "Similar" });
  const together = row({ title: "Bought together", empty: NONE_TOGETHER, waiting: false });
  const shelves = h("div");
  let browse = null;
  let turn = 0;
  const profile = new ProfilePanel();
  const stage = h("div", { class: "stage" });
  const productRows = h("div", { hidden: true }, similar.element, together.element);
  const homeRows = h("div", {}, trending.element, arrivals.element, shelves);
  const page = h("div", {}, stage, productRows, forYou.element, recent.element, homeRows);
  main.replaceChildren(page);

  const always = [{ scenario: "recently_viewed", n: 12, row: recent, only: own("recently_viewed") }];
  const home = [
    ...always,
    { scenario: "trending", n: 12, row: trending },
    {
      scenario: "new_arrivals",
      n: 12,
      row: arrivals,
      only: own("new"), // a catalogue without dates has no arrivals
    },
  ];
  const productRowsOf = (item_id) => [
    ...always,
    { scenario: "bought_together", item_id, n: 8, row: together, only: own("bought_with_item") },
    { scenario: "similar", item_id, n: 12, row: similar },
  ];

  const live = new LivePage({
    lead: { ...SHOP, row: forYou },
    rows: home,
    filter: SHOP.filter,
    onChange: () => {
      openShelves();
      if (page.parentElement !== main) main.replaceChildren(page);
      profile.refresh();
    },
    onEmpty: async (error) => {
      const { emptyCatalogue, refused } = await later.empty();
      const notice = error ? refused(error) : await emptyCatalogue();
      if (isHere && !live.hasItems) main.replaceChildren(notice);
    },
  });
  let isHere = true;

  async function openShelves() {
    if (browse) return;
    browse = later.browse();
    const { Browse } = await browse;
    browse = new Browse({ title: "All shelves", filter: SHOP.filter, order: "popular" });
    shelves.append(browse.element);
    if (isHere) browse.start();
    for (const part of [later.product, later.cart]) part().catch(() => {}); // so that a click need not wait
  }

  async function update(now) {
    const mine = ++turn;
    const itemId = now.get("item");
    productRows.hidden = !itemId;
    homeRows.hidden = Boolean(itemId) || now.has("cart");
    if (itemId) {
      similar.clear();
      together.clear();
      const { showProduct } = await later.product();
      if (mine !== turn) return;
      showProduct(stage, itemId, profile.element);
      live.setRows(productRowsOf(itemId));
    } else {
      if (now.has("cart")) {
        const { showCart } = await later.cart();
        if (mine !== turn) return;
        showCart(stage);
      } else stage.replaceChildren(welcome(profile));
      live.setRows(home);
    }
  }

  const changed = () => (recent.element.hidden = true);
  visitor.addEventListener("change", changed);
  live.start();
  update(parameters);
  return {
    update,
    unmount() {
      isHere = false;
      live.stop();
      browse?.stop?.();
      visitor.removeEventListener("change", changed);
    },
  };
}

function welcome(profile) {
  return h(
    "section",
    { class: "welcome", "aria-labelledby": "welcome" },
    h(
      "div",
      {},
      h("h1", { id: "welcome", tabindex: "-1" }, "Click something. The page knows."),
      h("p", { class: "lead" }, "Open, like or add a product. Freshet logs the event, updates your profile and rearranges the rows, with the reason under each item. The strip at the foot times every step."),
      h("p", { class: "lead-links" }, h("a", { href: "/pipeline" }, "See the pipeline at work"), h("a", { href: "/docs" }, "API reference")),
    ),
    profile.element,
  );
}
