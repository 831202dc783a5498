// What Freshet knows about the visitor, as it is stored.

import { call } from "./api.js";
import { count, h } from "./dom.js";
import { visitor } from "./visitor.js";

const INTERESTS = 4;
const NOBODY = "Empty: nobody has heard of you yet. Your first click is remembered here.";
const ONLY_SEEN = "what you were shown. Click something, and your interests appear.";

export class ProfilePanel {
  constructor() {
    this.summary = h("p", { class: "profile-summary" }, NOBODY);
    this.list = h("ul", { class: "interests" });
    this.element = h("section", { class: "profile", "aria-labelledby": "profile-title" }, h("h2", { id: "profile-title" }, "Your profile now"), this.summary, this.list);
  }

  async refresh() {
    const asked = visitor.id;
    const profile = await call(`/users/${encodeURIComponent(asked)}/profile`).catch(() => null);
    if (!profile || asked !== visitor.id) return;
    const { events, interests } = profile;
    this.summary.textContent = said(events, interests.length);
    const shown = interests.slice(0, INTERESTS);
    const sum = interests.reduce((before, { weight }) => before + weight, 0);
    const most = Math.max(...shown.map(({ weight }) => weight), 0.0001);
    this.list.replaceChildren(
      ...shown.map(({ category, weight }) => {
        const bar = h("span", { class: "bar-fill" });
        bar.style.width = `${Math.max(3, (100 * weight) / most)}%`;
        return h("li", {}, h("span", { class: "interest" }, category.split(" > ").pop()), h("span", { class: "track", "aria-hidden": "true" }, bar), h("span", { class: "weight" }, share(weight, sum)));
      }),
    );
  }
}

function said(events, interests) {
  if (!events) return NOBODY;
  const counted = `${count(events)} ${events === 1 ? "event" : "events"}`;
  return interests ? `${counted} so far. What you care about:` : `${counted} so far: ${ONLY_SEEN}`;
}

const share = (weight, sum) => `${Math.round((100 * weight) / sum)} %`;
