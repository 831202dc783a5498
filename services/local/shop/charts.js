// Small charts in SVG. Each stands beside a table that says the same.

import { h, s } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 84;

/** A line over the last `points` values, newest at the right. */
export class Line {
  constructor({ points }) {
    this.points = points;
    this.values = [];
    this.area = s("path", { class: "chart-area" });
    this.line = s("path", { class: "chart-line" });
    this.element = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", preserveAspectRatio: "none", "aria-hidden": "true" }, this.area, this.line);
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > this.points) this.values.shift();
    const most = Math.max(...this.values, 1e-9) * 1.1;
    const step = WIDTH / (this.points - 1);
    const from = WIDTH - step * (this.values.length - 1);
    const places = this.values.map((one, place) => `${(from + place * step).toFixed(1)} ${(HEIGHT - 2 - (one / most) * (HEIGHT - 6)).toFixed(1)}`);
    const path = `M${places.join("L")}`;
    this.line.setAttribute("d", path);
    this.area.setAttribute("d", `${path}L${WIDTH} ${HEIGHT}L${from.toFixed(1)} ${HEIGHT}Z`);
  }
}

/** Upright bars for a histogram. */
export class Bars {
  constructor() {
    this.element = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", preserveAspectRatio: "none", "aria-hidden": "true" });
  }

  show(values) {
    const most = Math.max(...values, 1);
    const step = WIDTH / Math.max(values.length, 1);
    const bars = values.map((value, place) => {
      const height = (value / most) * (HEIGHT - 4);
      return s("rect", { class: "chart-bar", x: (place * step + 1.5).toFixed(1), y: (HEIGHT - height).toFixed(1), width: (step - 3).toFixed(1), height: height.toFixed(1), rx: 2 });
    });
    this.element.replaceChildren(...bars);
  }
}

/** A table of [name, value]; `share` draws a bar behind each. */
export class Table {
  constructor({ caption, columns }) {
    this.body = h("tbody");
    this.element = h(
      "table",
      {},
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map((title) => h("th", { scope: "col" }, title)))),
      this.body,
    );
    this.shown = "";
  }

  show(rows) {
    const now = JSON.stringify(rows);
    if (now === this.shown) return;
    this.shown = now;
    this.body.replaceChildren(...rows.map(([name, ...values]) => h("tr", {}, h("th", { scope: "row" }, name), values.map((value) => h("td", {}, value)))));
  }
}
