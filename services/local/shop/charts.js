// Small charts in SVG. Each stands beside a table that says the same.

import { h, s } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 84;

const canvas = (...content) => s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", preserveAspectRatio: "none" }, ...content);

/** A line over the last `points` values, newest at the right. `ends` stand below it, at the left and at the right. */
export class Line {
  constructor({ points, ends, unit }) {
    this.points = points;
    this.unit = unit;
    this.values = [];
    this.area = s("path", { class: "chart-area" });
    this.line = s("path", { class: "chart-line" });
    this.most = h("span", { class: "chart-most" });
    this.element = h("div", { class: "chart-frame", "aria-hidden": "true" }, canvas(this.area, this.line), this.most, h("p", { class: "chart-ends" }, ends.map((end) => h("span", {}, end))));
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > this.points) this.values.shift();
    const peak = Math.max(...this.values);
    this.most.textContent = peak > 0 ? `most ${Number(peak.toFixed(1))} ${this.unit}` : "";
    const most = Math.max(peak, 1e-9) * 1.1;
    const step = WIDTH / (this.points - 1);
    const from = WIDTH - step * (this.values.length - 1);
    const places = this.values.map((one, place) => `${(from + place * step).toFixed(1)} ${(HEIGHT - 2 - (one / most) * (HEIGHT - 20)).toFixed(1)}`);
    const path = `M${places.join("L")}`;
    this.line.setAttribute("d", path);
    this.area.setAttribute("d", `${path}L${WIDTH} ${HEIGHT}L${from.toFixed(1)} ${HEIGHT}Z`);
  }
}

/** Upright bars for a histogram; below, what the first and the last one stand for. */
export class Bars {
  constructor() {
    this.chart = canvas();
    this.ends = [h("span"), h("span")];
    this.element = h("div", { class: "chart-frame", "aria-hidden": "true" }, this.chart, h("p", { class: "chart-ends" }, this.ends));
  }

  show(values, first, last) {
    const most = Math.max(...values, 1);
    const step = WIDTH / Math.max(values.length, 1);
    const bars = values.map((value, place) => {
      const height = (value / most) * (HEIGHT - 4);
      return s("rect", { class: "chart-bar", x: (place * step + 1.5).toFixed(1), y: (HEIGHT - height).toFixed(1), width: (step - 3).toFixed(1), height: height.toFixed(1), rx: 2 });
    });
    this.chart.replaceChildren(...bars);
    [first, last].forEach((text, place) => (this.ends[place].textContent = text));
  }
}

/** A table of [name, ...values]; where the last value is a share in %, a bar behind the row shows it. */
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
    this.body.replaceChildren(...rows.map(lineOf));
  }
}

function lineOf([name, ...values]) {
  const line = h("tr", {}, h("th", { scope: "row" }, name), values.map((value) => h("td", {}, value)));
  const last = String(values.at(-1) ?? "");
  if (last.endsWith(" %")) {
    line.className = "share";
    line.style.setProperty("--share", last.replace(" ", ""));
  }
  return line;
}
