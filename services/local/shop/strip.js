// The strip at the foot: the way of the last event, station by station, and how long it took to each.

import { calm, h, ms } from "./dom.js";
import { way } from "./track.js";

// [name, what a narrow screen says too, what a wide one says before it, how it is known]
const STEPS = [
  ["accepted", "in the log", "accepted, ", "Freshet answered 202: the log has the event"],
  ["written", "profile written", "", "an answer asked for with after= says fresh"],
  ["shown", "on screen", "new answer ", "the list that the stream brought is drawn"],
];

export function showStrip() {
  const place = document.getElementById("strip");
  const label = h("p", { class: "strip-label" }, "Click anything, and follow it:");
  const see = h("button", { class: "strip-see", hidden: true });
  const values = {};
  const begin = h("li", { class: "begin" }, h("span", { class: "step-name" }, "click"), h("span", { class: "step-value" }, "0 ms"));
  const steps = STEPS.map(([name, title, before, means]) => {
    values[name] = h("b", { class: "step-value" }, "–");
    return h("li", { "data-step": name, title: means }, h("span", { class: "step-name" }, h("span", { class: "step-wide" }, before), title), values[name]);
  });
  place.append(h("div", { class: "strip-head" }, label, see), h("ol", {}, begin, steps));
  way.addEventListener("step", ({ detail }) => {
    if (detail.accepted === null) see.hidden = true;
    label.textContent = detail.failed ? `${detail.failed}: ${detail.label}` : detail.label;
    place.classList.toggle("failed", Boolean(detail.failed));
    place.classList.add("begun");
    steps.forEach((element, index) => {
      const name = STEPS[index][0];
      const value = detail[name];
      values[name].textContent = value === null ? "…" : ms(value);
      element.classList.toggle("done", value !== null);
    });
  });
  // Where the row that has changed is not in sight, here is the way to it.
  way.addEventListener("list", ({ detail: { row, text } }) => {
    see.hidden = row.isInSight();
    const arrow = row.element.getBoundingClientRect().top < 0 ? "↑" : "↓";
    see.replaceChildren(`${row.heading.textContent}: ${text} `, h("span", { "aria-hidden": "true" }, arrow));
    see.onclick = () => {
      see.hidden = true;
      row.element.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" });
      row.heading.focus({ preventScroll: true });
    };
  });
}
