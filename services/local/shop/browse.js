// The shelves: everything there is, by department, price and order, page after page.

import { ApiError, call, query } from "./api.js";
import { productCard } from "./card.js";
import { count, h, say } from "./dom.js";
import { FIELDS } from "./early.js";
import { Row } from "./row.js";
import { visitor } from "./visitor.js";

const PAGE = 24;
const SAMPLE = 400; // items that departments are counted in; there is no call that counts them all
const DEPARTMENTS = 12;
const ORDERS = [["popular", "Popular"], ["for_you", "For you"], ["trending", "Trending"], ["new_arrivals", "Newest"]];
const PRICES = [["", "Any price"], ["..2", "Up to 2"], ["2..5", "2 to 5"], ["5..10", "5 to 10"], ["10..", "From 10"]];

export class Browse {
  /** `filter` holds for all of it; `order` is one of ORDERS, at first. */
  constructor({ title, filter, card = productCard, kind = "", order = "for_you", departments = true, prices = true, unit = "products" }) {
    this.filter = filter;
    this.unit = unit;
    this.row = new Row({ title, card, kind: `grid ${kind}`, empty: "Nothing matches. Choose another department or price." });
    this.wanted = { department: "", price: "", scenario: order };
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "Departments" });
    this.more = h("button", { class: "more", hidden: true, onclick: () => this.next() }, "Show more");
    const tools = h(
      "div",
      { class: "tools" },
      departments && this.chips,
      h(
        "div",
        { class: "selects" },
        prices && this.chooser("Price", PRICES, "price"),
        this.chooser("Order", ORDERS, "scenario"),
      ),
    );
    this.row.list.before(tools);
    this.row.element.append(this.more);
    this.element = this.row.element;
    this.departments = departments;
    this.changed = () => this.load();
  }

  /** Loads what there is, once. */
  start() {
    if (this.isStarted) return;
    this.isStarted = true;
    visitor.addEventListener("change", this.changed);
    this.load();
    if (this.departments) this.findDepartments();
  }

  stop() {
    visitor.removeEventListener("change", this.changed);
  }

  chooser(title, choices, name) {
    const id = `browse-${name}`;
    const select = h(
      "select",
      { id, onchange: () => this.choose({ [name]: select.value }) },
      choices.map(([value, text]) => h("option", { value, selected: value === this.wanted[name] }, text)),
    );
    return h("p", { class: "field" }, h("label", { for: id }, title), select);
  }

  choose(change) {
    Object.assign(this.wanted, change);
    for (const chip of this.chips.children) {
      chip.setAttribute("aria-pressed", String(chip.dataset.department === this.wanted.department));
    }
    return this.load();
  }

  async findDepartments() {
    const asked = query({ limit: SAMPLE, fields: "categories", filter: this.filter });
    const { items } = await call(`/items?${asked}`).catch(() => ({ items: [] }));
    const counted = new Map();
    for (const { categories } of items) {
      const top = categories?.[0]?.[0];
      if (top) counted.set(top, (counted.get(top) ?? 0) + 1);
    }
    const tops = [...counted].sort((one, other) => other[1] - one[1]).slice(0, DEPARTMENTS);
    this.chips.replaceChildren(
      ...["", ...tops.map(([top]) => top)].map((department) =>
        h(
          "button",
          {
            class: "chip",
            "data-department": department,
            "aria-pressed": String(department === this.wanted.department),
            onclick: () => this.choose({ department }),
          },
          department || "All",
        ),
      ),
    );
  }

  asked() {
    const { department, price, scenario } = this.wanted;
    const clauses = [
      department ? `categories:"${department.replace(/["\\]/g, "\\$&")}"` : this.filter,
      price ? `price:${price}` : "",
    ].filter(Boolean);
    return { scenario, n: PAGE, filter: clauses.join(";"), fields: FIELDS.join(","), ...visitor.context };
  }

  async load() {
    const asked = JSON.stringify(this.asked()) + visitor.id;
    this.question = asked;
    const answer = await this.ask({});
    if (!answer || this.question !== asked) return;
    this.row.show(answer.items, answer.recommendation_id);
    const matched = answer.filter?.matched;
    this.row.retitle(this.row.heading.textContent, matched === undefined ? "" : `${count(matched)} ${this.unit}`);
    this.turn(answer);
  }

  /** The next page: nothing in it has been shown. */
  async next() {
    const answer = await this.ask({ cursor: this.cursor });
    if (!answer) return;
    const first = this.row.list.children.length;
    this.row.add(answer.items, answer.recommendation_id);
    this.turn(answer);
    this.row.list.children[first]?.querySelector("a")?.focus();
    say(`${answer.items.length} more`);
  }

  turn(answer) {
    this.cursor = answer.next_cursor;
    this.more.hidden = !this.cursor;
  }

  async ask(more) {
    try {
      return await call(`/recommend/${encodeURIComponent(visitor.id)}?${query({ ...this.asked(), ...more })}`);
    } catch (error) {
      if (error instanceof ApiError) return null;
      throw error;
    }
  }
}
