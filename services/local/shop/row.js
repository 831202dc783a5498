// A row of cards that keeps its elements: what stays moves to its new place, and focus stays where it is.

import { calm, h } from "./dom.js";
import { seeable, unseeable } from "./track.js";

const MOVE_MS = 420;
const EASE = "cubic-bezier(.2, .8, .2, 1)";
const PULSE = [{ transform: "scale(1.18)" }, { transform: "none" }];
let made = 0;

export class Row {
  /**
   * `card(item, reason)` makes { element, update(item) }. `empty` is said where there is nothing; without it the
   * row is hidden then. `hidden`: not shown before its first list. `waiting`: it will have some.
   */
  constructor({ title, note = "", card, empty = "", kind = "", live = false, hidden = false, waiting = true }) {
    this.card = card;
    this.cards = new Map(); // item id → { element, update }
    this.empty = empty;
    const id = `row-${++made}`;
    this.heading = h("h2", { id, tabindex: "-1" }, title);
    this.note = h("p", { class: "row-note" }, note);
    // Keeps its place while it waits, so that nothing moves when the cards come.
    this.list = h("ul", { class: `cards ${kind} ${waiting ? "waiting" : ""}`, "aria-busy": "true" });
    this.message = h("p", { class: "row-empty", hidden: true }, empty);
    this.badge = live ? h("span", { class: "live-badge" }, "live") : null;
    this.element = h(
      "section",
      { class: "row", "aria-labelledby": id, hidden },
      h("div", { class: "row-head" }, this.heading, this.badge, this.note),
      this.list,
      this.message,
    );
  }

  get order() {
    return [...this.cards.keys()];
  }

  retitle(title, note) {
    if (this.heading.textContent !== title) this.heading.textContent = title;
    if (note !== undefined && this.note.textContent !== note) this.note.textContent = note;
  }

  /** Shows `items` in their order; answers how many are new or stand elsewhere. */
  show(items, recommendationId) {
    const before = this.order;
    const changed = items.filter((item, place) => before[place] !== item.item_id).length;
    const wasShown = !this.element.hidden && before.length > 0;
    const animated = wasShown && changed > 0 && !calm.matches && this.isNear();
    const places = animated ? this.places() : null;
    this.arrange(items, recommendationId);
    this.list.removeAttribute("aria-busy");
    this.list.classList.remove("waiting");
    this.element.hidden = items.length === 0 && !this.empty;
    this.list.hidden = items.length === 0;
    this.message.hidden = items.length > 0 || !this.empty;
    if (places) this.move(places);
    if (this.badge && changed && !calm.matches) this.badge.animate(PULSE, { duration: MOVE_MS });
    return changed;
  }

  /** Adds a further page. */
  add(items, recommendationId) {
    for (const item of items) {
      if (!this.cards.has(item.item_id)) this.list.append(this.cardFor(item, recommendationId).element);
    }
  }

  /** Nothing yet, as at the start. */
  clear() {
    for (const { element } of this.cards.values()) unseeable(element);
    this.cards.clear();
    this.list.replaceChildren();
  }

  cardFor(item, recommendationId) {
    const made = this.card(item);
    made.element.dataset.item = item.item_id;
    this.cards.set(item.item_id, made);
    seeable(made.element, recommendationId);
    return made;
  }

  arrange(items, recommendationId) {
    const focused = document.activeElement;
    const focusedCard = focused?.closest?.("li.card");
    const hadFocus = focusedCard && this.list.contains(focusedCard);
    const focusedPlace = hadFocus ? [...this.list.children].indexOf(focusedCard) : -1;
    const kept = new Map();
    for (const item of items) {
      const known = this.cards.get(item.item_id);
      if (known) {
        known.update(item);
        seeable(known.element, recommendationId);
      }
      kept.set(item.item_id, known ?? this.cardFor(item, recommendationId));
    }
    for (const [id, { element }] of this.cards) if (!kept.has(id)) unseeable(element);
    this.cards = kept;
    const wanted = [...kept.values()].map(({ element }) => element);
    const staying = new Set(wanted);
    for (const child of [...this.list.children]) if (!staying.has(child)) child.remove();
    wanted.forEach((element, place) => {
      const now = this.list.children[place] ?? null;
      if (now === element) return;
      // Only a connected element can move and keep its focus.
      if (element.isConnected && this.list.moveBefore) this.list.moveBefore(element, now);
      else this.list.insertBefore(element, now);
    });
    if (hadFocus && document.activeElement !== focused) {
      const next = focused.isConnected ? focused : wanted[Math.min(focusedPlace, wanted.length - 1)]?.querySelector("a");
      (next ?? this.heading).focus({ preventScroll: true });
    }
  }

  /** Whether it is on the screen or close to it: what nobody sees need not move. */
  isNear() {
    const { top, bottom } = this.element.getBoundingClientRect();
    return bottom > -200 && top < innerHeight + 200;
  }

  places() {
    return new Map([...this.cards].map(([id, { element }]) => [id, element.getBoundingClientRect()]));
  }

  /** From where they were to where they are: First, Last, Invert, Play. */
  move(before) {
    for (const [id, { element }] of this.cards) {
      const now = element.getBoundingClientRect();
      const was = before.get(id);
      if (!was) {
        const frames = [{ opacity: 0, transform: "scale(.92)" }, { opacity: 1, transform: "none" }];
        element.animate(frames, { duration: MOVE_MS, easing: EASE });
      } else if (was.left !== now.left || was.top !== now.top) {
        const from = `translate(${was.left - now.left}px, ${was.top - now.top}px)`;
        element.animate([{ transform: from }, { transform: "none" }], { duration: MOVE_MS, easing: EASE });
      }
    }
  }
}
