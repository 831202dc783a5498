// The strip at the foot: how far the last event has come, and how long that took.

import { h, ms } from "./dom.js";
import { way } from "./track.js";

const STEPS = [
  ["accepted", "accepted", "the log has it: 202"],
  ["written", "in the profile", "an answer with after= says fresh"],
  ["shown", "on screen", "the list that the stream brought is drawn"],
];

export function showStrip() {
  const place = document.getElementById("strip");
  const label = h("p", { class: "strip-label" }, "Click anything: its way is measured here.");
  const values = {};
  const steps = STEPS.map(([name, title, means]) => {
    values[name] = h("b", {}, "–");
    return h("li", { "data-step": name, title: means }, h("span", { class: "step-name" }, title), values[name]);
  });
  place.append(label, h("ol", {}, steps));
  way.addEventListener("step", ({ detail }) => {
    label.textContent = detail.failed ? `${detail.label}: ${detail.failed}` : detail.label;
    place.classList.toggle("failed", Boolean(detail.failed));
    steps.forEach((element, index) => {
      const name = STEPS[index][0];
      const value = detail[name];
      values[name].textContent = value === null ? "…" : ms(value);
      element.classList.toggle("done", value !== null);
    });
  });
}
