// What Freshet knows about the visitor, as it is stored.

import { call } from "./api.js";
import { count, h } from "./dom.js";
import { visitor } from "./visitor.js";

const INTERESTS = 4;

export class ProfilePanel {
  constructor() {
    this.summary = h("p", { class: "profile-summary" }, "…");
    this.list = h("ul", { class: "interests" });
    this.element = h("section", { class: "profile", "aria-labelledby": "profile-title" }, h("h2", { id: "profile-title" }, "Your profile now"), this.summary, this.list);
  }

  async refresh() {
    const asked = visitor.id;
    const profile = await call(`/users/${encodeURIComponent(asked)}/profile`).catch(() => null);
    if (!profile || asked !== visitor.id) return;
    const { events, interests } = profile;
    this.summary.textContent = events ? `${count(events)} ${events === 1 ? "event" : "events"}; closest to it:` : "Nobody has heard of you yet: 0 events.";
    const shown = interests.slice(0, INTERESTS);
    const most = Math.max(...shown.map(({ weight }) => weight), 0.0001);
    this.list.replaceChildren(
      ...shown.map(({ category, weight }) => {
        const bar = h("span", { class: "bar-fill" });
        bar.style.width = `${Math.max(3, (100 * weight) / most)}%`;
        return h("li", {}, h("span", { class: "interest" }, category.split(" > ").pop()), h("span", { class: "track", "aria-hidden": "true" }, bar), h("span", { class: "weight" }, weight.toFixed(2)));
      }),
    );
  }
}
