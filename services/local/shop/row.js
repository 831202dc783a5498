// A row of cards that keeps its elements: what stays moves to its new place, and focus stays where it is.

import { calm, h } from "./dom.js";
import { seeable, unseeable } from "./track.js";

const MOVE_MS = 600;
const STEP_MS = 25; // from card to card: the eye follows one after the other
const STEPS_MAX = 8;
const ARRIVE_MS = 180; // what is new comes once what stays has left its place
const LEAVE_MS = 260;
const MARK_MS = 8000; // how long a card says that it is new or has risen
const EASE = "cubic-bezier(.2, .8, .2, 1)";
const PULSE = [{ transform: "scale(1.18)" }, { transform: "none" }];
let made = 0;

export class Row {
  /**
   * `card(item, reason)` makes { element, update(item) }. `empty` is said where there is nothing; without it the
   * row is hidden then. `hidden`: not shown before its first list. `waiting`: it will have some. `live`: it says
   * what has changed.
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
    const turns = kind.includes("grid") ? null : this.turns();
    this.badge = live ? h("span", { class: "live-badge" }, "live") : null;
    this.element = h(
      "section",
      { class: "row", "aria-labelledby": id, hidden },
      h("div", { class: "row-head" }, this.heading, this.badge, this.note, turns),
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

  /** Shows `items` in their order; answers what is different: { changed, added, risen }, numbers of items. */
  show(items, recommendationId) {
    const before = new Map(this.order.map((id, place) => [id, place]));
    const rises = items.map(({ item_id }, place) => (before.get(item_id) ?? NaN) - place); // NaN: new
    const changed = rises.filter((rise) => rise !== 0).length;
    const wasShown = !this.element.hidden && before.size > 0;
    const animated = wasShown && changed > 0 && !calm.matches && this.isNear();
    const places = animated ? this.places() : null;
    const leaving = this.arrange(items, recommendationId);
    this.list.removeAttribute("aria-busy");
    this.list.classList.remove("waiting");
    this.element.hidden = items.length === 0 && !this.empty;
    this.list.hidden = items.length === 0;
    this.message.hidden = items.length > 0 || !this.empty;
    if (wasShown && changed && this.badge) this.mark(items, rises);
    if (places) this.move(places, leaving);
    if (this.badge && changed && !calm.matches) this.badge.animate(PULSE, { duration: MOVE_MS });
    this.measureSoon?.();
    return { changed, added: rises.filter(Number.isNaN).length, risen: rises.filter((rise) => rise > 0).length };
  }

  /** Says on each card that is new or has risen that it is, for a while. */
  mark(items, rises) {
    clearTimeout(this.unmarking);
    this.unmark();
    items.forEach(({ item_id }, place) => {
      const rise = rises[place];
      if (!(rise <= 0)) {
        const text = rise > 0 ? `↑ ${rise}` : "new";
        this.cards.get(item_id).element.append(h("span", { class: `mark ${rise > 0 ? "risen" : "new"}`, "aria-hidden": "true" }, text));
      }
    });
    this.unmarking = setTimeout(() => this.unmark(), MARK_MS);
  }

  unmark() {
    for (const mark of this.list.querySelectorAll(".mark")) mark.remove();
  }

  /** Whether most of its cards are on the screen, above the strip. */
  isInSight() {
    const { top, height } = this.list.getBoundingClientRect();
    return top >= 0 && top + height / 2 < innerHeight;
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

  /** Answers the elements that are no more in the list. */
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
    const leaving = [...this.list.children].filter((child) => !staying.has(child));
    for (const child of leaving) child.remove();
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
    return leaving;
  }

  /** Whether it is on the screen or close to it: what nobody sees need not move. */
  isNear() {
    const { top, bottom } = this.element.getBoundingClientRect();
    return bottom > -200 && top < innerHeight + 200;
  }

  /** Where each card is: by item, and by element for those that will have left. */
  places() {
    return new Map([...this.cards].flatMap(([id, { element }]) => {
      const place = element.getBoundingClientRect();
      return [[id, place], [element, place]];
    }));
  }

  /** From where they were to where they are: First, Last, Invert, Play. What leaves fades where it was. */
  move(before, leaving) {
    const frame = this.list.getBoundingClientRect();
    let steps = 0;
    for (const [id, { element }] of this.cards) {
      const now = element.getBoundingClientRect();
      const was = before.get(id);
      if (was && was.left === now.left && was.top === now.top) continue;
      const delay = Math.min(steps++, STEPS_MAX) * STEP_MS;
      const timing = { duration: MOVE_MS, easing: EASE, fill: "backwards" };
      if (was) {
        const from = `translate(${was.left - now.left}px, ${was.top - now.top}px)`;
        element.animate([{ transform: from, zIndex: 2 }, { transform: "none", zIndex: 2 }], { ...timing, delay });
      } else {
        const frames = [{ opacity: 0, transform: "translateY(18px) scale(.94)" }, { opacity: 1, transform: "none" }];
        element.animate(frames, { ...timing, delay: delay + ARRIVE_MS });
      }
    }
    for (const element of leaving) {
      const was = before.get(element);
      if (was && was.right > frame.left && was.left < frame.right) this.fade(element, was, frame);
    }
  }

  /** A card that has left, for a moment: out of the order, and nothing but a picture. */
  fade(element, was, frame) {
    delete element.dataset.item;
    element.inert = true;
    element.setAttribute("aria-hidden", "true");
    Object.assign(element.style, {
      position: "absolute",
      left: `${was.left - frame.left + this.list.scrollLeft}px`,
      top: `${was.top - frame.top}px`,
      width: `${was.width}px`,
    });
    this.list.append(element);
    const fading = element.animate([{ opacity: 1 }, { opacity: 0, transform: "translateY(18px) scale(.94)" }], { duration: LEAVE_MS, easing: "ease-in", fill: "forwards" });
    fading.finished.then(() => element.remove(), () => element.remove());
  }

  /** Buttons for a mouse that has no wheel to the side; who uses a keyboard goes from card to card. */
  turns() {
    const turn = (way, text) =>
      h("button", { class: "turn", tabindex: "-1", onclick: () => this.list.scrollBy({ left: way * this.list.clientWidth * 0.8, behavior: calm.matches ? "auto" : "smooth" }) }, text);
    const [back, forth] = [turn(-1, "‹"), turn(1, "›")];
    const turns = h("div", { class: "turns", "aria-hidden": "true", hidden: true }, back, forth);
    const measure = () => {
      const { scrollLeft, scrollWidth, clientWidth } = this.list;
      back.disabled = scrollLeft < 8;
      forth.disabled = scrollLeft + clientWidth > scrollWidth - 8;
      turns.hidden = back.disabled && forth.disabled;
    };
    this.list.addEventListener("scroll", measure, { passive: true });
    new ResizeObserver(measure).observe(this.list);
    this.measureSoon = () => setTimeout(measure, MOVE_MS);
    return turns;
  }
}
