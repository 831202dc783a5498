// Posters of films and serials: the genre chooses the colours, the title the picture.

import { hash, s } from "./dom.js";

const GENRES = {
  "Science fiction": [222, 46], Western: [22, 42], Historical: [36, 350], Horror: [350, 95], Adventure: [172, 40],
  Drama: [262, 18], Comedy: [44, 200], Documentary: [196, 60], Crime: [240, 12], Romance: [338, 30],
};
const LETTERS = 13;

const p = (d, fill) => s("path", { d, fill });
const o = (cx, cy, r, fill) => s("circle", { cx, cy, r, fill });

const SCENES = [
  (a, b, c, x) => [o(x, 62, 24, b), p("M0 96Q30 70 60 92T90 82V135H0z", a), p("M0 108Q28 92 52 106T90 100V135H0z", c)],
  (a, b, c, x) => [...[0, 1, 2, 3, 4, 5, 6].map((ray) => p(`M${x} 120L${ray * 26 - 45} 0h13z`, ray % 2 ? a : b)), o(x, 120, 26, c)],
  (a, b, c, x) => [o(x, 74, 38, a), o(x, 74, 27, b), o(x, 74, 16, c), o(x, 74, 6, a)],
  (a, b, c, x) => [p("M0 86h14V62h12v24h8V44h16v42h8V58h14v28h18v49H0z", a), o(x, 52, 9, c), p("M0 106h90v3H0zM0 116h90v3H0z", b)],
  (a, b, c, x) => [o(45, 80, 30, a), o(45 + (x % 12), 74, 25, b), p("M10 128Q45 104 80 128z", c)],
  (a, b, c, x) => [p(`M0 ${40 + (x % 20)}L90 92v24L0 ${64 + (x % 20)}z`, a), p(`M0 ${72 + (x % 20)}L90 124v8L0 ${80 + (x % 20)}z`, b), o(70, 58, 12, c)],
];

export function poster(item, label = "") {
  const [kind, genre] = item.categories?.[0] ?? ["Films", ""];
  const title = item.title || item.item_id;
  const series = item.properties?.series;
  const seed = hash(series ?? title);
  const [hue, second] = GENRES[genre] ?? [hash(genre) % 360, hash(genre + title) % 360];
  const night = `hsl(${hue} 40% 17%)`;
  const colours = [`hsl(${hue} 44% 34%)`, `hsl(${second} 62% 58%)`, `hsl(${second} 50% 78%)`];
  const scene = SCENES[(seed >>> 5) % SCENES.length](...colours, 22 + (seed % 46));
  const lines = broken((series ?? title).toUpperCase());
  const size = Math.min(11, 78 / (Math.max(...lines.map((line) => line.length)) * 0.8));
  const foot = series ? `CHAPTER ${item.group_order}` : `${item.properties?.year ?? kind.toUpperCase()}`;
  const text = (content, y, attributes) =>
    s("text", { x: 45, y, "text-anchor": "middle", "font-family": "Georgia, 'DejaVu Serif', serif", ...attributes }, content);
  return s(
    "svg",
    { viewBox: "0 0 90 135", class: "art", ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }) },
    s("rect", { width: 90, height: 135, fill: night }),
    ...scene,
    s("rect", { width: 90, height: 14 + lines.length * (size + 2), fill: night }),
    ...lines.map((line, place) => text(line, 9 + size + place * (size + 2), { "font-size": size.toFixed(1), "font-weight": 700, fill: "#fdf6e3" })),
    s("rect", { y: 120, width: 90, height: 15, fill: night }),
    text(foot, 130, { "font-size": 7, "letter-spacing": 1.2, fill: "#fdf6e3" }),
    s("rect", { x: 2.5, y: 2.5, width: 85, height: 130, fill: "none", stroke: "#fdf6e3", "stroke-opacity": 0.5 }),
  );
}

/** A title in lines of about LETTERS letters, four at most. */
function broken(title) {
  const lines = [""];
  for (const word of title.split(" ")) {
    const last = lines.length - 1;
    if (lines[last] && `${lines[last]} ${word}`.length > LETTERS && lines.length < 4) lines.push(word);
    else lines[last] = lines[last] ? `${lines[last]} ${word}` : word;
  }
  return lines;
}
