// Pictures drawn from category and title: the shelf chooses the shape, the title its colours and place.

import { hash, s } from "./dom.js";
import { poster } from "./posters.js";

// Each draws in 100 × 100, with a body colour, a dark one and a light one.
const SHAPES = {
  bottle: (a, b, c) => [p("M42 16h16v16l9 13v39q0 6-6 6H39q-6 0-6-6V45l9-13z", a), p("M42 16h16v8H42z", b), p("M33 54h34v20H33z", c)],
  can: (a, b, c) => [p("M30 26q20-9 40 0v50q-20 9-40 0z", a), p("M30 40q20 8 40 0v24q-20 8-40 0z", c), e(50, 25, 20, 5, b)],
  carton: (a, b, c) => [p("M31 44h38v44H31z", a), p("M31 44l9-16h20l9 16z", b), p("M39 18h22v11H39z", a), p("M31 58q19 10 38 0v16q-19 10-38 0z", c)],
  box: (a, b, c) => [p("M27 22h38v66H27z", a), p("M65 22l9 6v54l-9 6z", b), p("M27 36h38v22H27z", c), o(46, 72, 8, c)],
  jar: (a, b, c) => [p("M36 30h28q8 6 8 16v34q0 8-8 8H36q-8 0-8-8V46q0-10 8-16z", a), p("M34 18h32v11H34z", b), p("M28 52h44v20H28z", c)],
  bag: (a, b, c) => [p("M28 20l6 5 6-5 5 5 5-5 6 5 6-5 5 5 5-5q-4 35 3 70H25q7-35 3-70z", a), e(50, 56, 16, 13, c), e(50, 56, 7, 6, b)],
  loaf: (a, b, c) => [p("M18 62q-6-26 12-28 20-8 40 0 18 2 12 28l-3 20H21z", a), l("M36 42l-5 14M50 40l-3 15M64 42l-2 14", b, 4), p("M21 78h58v5H21z", c)],
  fruit: (a, b, c) => [o(38, 62, 23, a), o(66, 64, 19, b), p("M40 40q2-18 20-20 0 18-20 20z", c), o(31, 55, 5, c)],
  leaf: (a, b, c) => [p("M50 90Q14 74 22 36q14 4 20 14Q40 26 52 12q12 14 8 38 8-10 20-12 6 38-30 52z", a), l("M50 88V34M50 74L32 52M50 70l20-20", c, 3), o(51, 88, 4, b)],
  roots: (a, b, c) => [p("M50 90Q30 66 34 46q16-12 32 0 4 20-16 44z", a), l("M40 58h10M48 68h10", c, 3), p("M50 42Q36 30 40 14q8 6 10 16 4-12 12-16 2 16-12 28z", b)],
  cheese: (a, b, c) => [p("M14 62L62 26q22 6 24 36z", a), p("M14 62h72v22H14z", b), o(40, 73, 5, c), o(64, 74, 6, c), o(60, 50, 6, c)],
  steak: (a, b, c) => [p("M20 50q2-28 34-28 30 0 30 24 0 16-18 22-10 4-16 12-8 8-20 2-12-8-10-32z", a), p("M30 50q4-18 24-18 20 0 20 14 0 8-12 12-12 6-18 14-14-2-14-22z", b), e(50, 47, 8, 6, c)],
  leg: (a, b, c) => [p("M24 34q8-20 30-16 24 6 22 30-6 18-26 16L30 84q-2 6-8 4t-4-8q-6-2-4-8t8-4l14-16q-14-6-12-18z", a), e(56, 38, 10, 7, c), o(22, 78, 5, b)],
  fish: (a, b, c) => [p("M12 50q24-30 54-8l20-16q-4 24 0 48L66 58q-30 22-54-8z", a), o(28, 47, 4, c), l("M44 36q8 14 0 28M56 38q7 12 0 24", b, 3)],
  eggs: (a, b, c) => [e(34, 48, 14, 19, c), e(64, 46, 14, 19, a), p("M14 56q36 16 72 0l-6 26H20z", b)],
  cone: (a, b, c) => [p("M32 50h36L50 92z", b), o(40, 42, 15, a), o(60, 42, 15, c), o(50, 28, 14, a)],
  pizza: (a, b, c) => [p("M14 32q36-22 72 0L50 90z", a), p("M12 34q38-24 76 0l-4 7q-34-20-68 0z", b), o(44, 50, 6, c), o(60, 54, 5, c), o(50, 70, 5, c)],
  cup: (a, b, c) => [p("M28 34h44l-6 52q-1 4-5 4H39q-4 0-5-4z", a), p("M24 24h52v11H24z", b), p("M31 54h38l-2 18H33z", c)],
  tube: (a, b, c) => [p("M24 18h52L66 74H34z", a), p("M40 74h20v14H40z", b), p("M29 36h42l-3 18H32z", c)],
  roll: (a, b, c) => [p("M20 32q0-8 24-8t24 8v46q0 8-24 8t-24-8z", a), e(44, 32, 24, 8, c), e(44, 32, 9, 3, b), p("M68 40h14v44q-7 4-14-6z", c)],
  paper: (a, b, c) => [p("M24 20h44v64H24z", a), p("M30 26h44v64H30z", c), p("M36 34h32v16H36z", b), l("M36 60h32M36 68h32M36 76h20", a, 3)],
  paw: (a, b, c) => [e(50, 64, 20, 17, a), o(26, 46, 9, b), o(42, 30, 9, b), o(60, 30, 9, b), o(76, 46, 9, b), e(50, 66, 9, 7, c)],
  flower: (a, b, c) => [l("M50 92V52M50 78q14-2 18-14M50 84q-14-2-16-12", b, 4), ...[0, 72, 144, 216, 288].map((turn) => e(50, 24, 9, 14, a, `rotate(${turn} 50 38)`)), o(50, 38, 8, c)],
  candy: (a, b, c) => [p("M30 50L10 34v32zM70 50l20-16v32z", b), o(50, 50, 22, a), l("M38 34q16 14 6 36M54 29q14 18 4 42", c, 4)],
  basket: (a, b, c) => [l("M30 46q2-28 20-28t20 28", b, 5), p("M16 44h68l-8 42H24z", a), l("M36 54l3 24M50 54v24M64 54l-3 24", c, 4)],
};

const p = (d, fill) => s("path", { d, fill });
const o = (cx, cy, r, fill) => s("circle", { cx, cy, r, fill });
const e = (cx, cy, rx, ry, fill, transform) => s("ellipse", { cx, cy, rx, ry, fill, transform });
const l = (d, stroke, width) => s("path", { d, fill: "none", stroke, "stroke-width": width, "stroke-linecap": "round" });

// The first that matches "category title" decides.
const SHELVES = [
  [/cat food|dog food|pet |litter/, "paw", 28],
  [/flower|floral|garden/, "flower", 330],
  [/egg(s|\b)(?!.*noodle)/, "eggs", 38],
  [/pizza/, "pizza", 18],
  [/ice cream|novelties|cones/, "cone", 325],
  [/yogurt|coffee|\bteas?\b|cocoa|pudding|dips|salads/, "cup", 285],
  [/dinner mix|dinners|macaroni|crackers/, "box", 34],
  [/cheese/, "cheese", 45],
  [/soft drink|beer|\bales?\b|\bwater|isotonic|dressing|syrup|shortening|\boils?\b|detergent|bleach|wine|spirits|cleaning|sauces/, "bottle", 200],
  [/milk|juice|drinks|cream/, "carton", 215],
  [/bread|rolls|buns|bagel|pastry|cake|sweet goods|dough|pies|muffin/, "loaf", 30],
  [/chicken|turkey|poultry/, "leg", 22],
  [/seafood|fish|tuna|shrimp/, "fish", 190],
  [/beef|pork|meat|sausage|bacon|hot dog|\bham\b/, "steak", 352],
  [/soup|canned|beans|vegetables - shelf|fruit - shelf|tomato sauce/, "can", 8],
  [/jam|jelly|peanut butter|pickle|olive|pasta sauce|condiment|spice|hispanic|baby food|mayonnaise/, "jar", 350],
  [/apple|berr|grape|citrus|fruit|tomato|melon|orange|peach|pear|banana|mango/, "fruit", 8],
  [/carrot|potato|onion|root|garlic/, "roots", 28],
  [/produce|salad|vegetable|lettuce|herb|mushroom|pepper|organic/, "leaf", 125],
  [/candy|chocolate|gum\b/, "candy", 310],
  [/snack|chips|nuts|rice|flour|sugar|popcorn|dried|frozen/, "bag", 42],
  [/magazine|newspaper|card|stationery|book/, "paper", 230],
  [/tissue|towel|napkin|bath|wraps|diaper|paper/, "roll", 210],
  [/soap|hair|oral|hygiene|deodorant|drugstore|cosmetic|baby/, "tube", 265],
  [/cereal|cracker|cookie|pasta|noodle|mix|breakfast|dinner/, "box", 34],
];

const LABEL = { Films: true, Serials: true };

/** The picture of an item. With `label` it has a name of its own; without, the title stands beside it. */
export function tile(item, label = "") {
  const category = item.categories?.[0] ?? [];
  if (LABEL[category[0]]) return poster(item, label);
  const title = item.title || item.item_id;
  const words = `${category.join(" ")} ${title}`.toLowerCase();
  const seed = hash(title + item.item_id); // many products of a shop have one title
  const [, name, shelfHue] = SHELVES.find(([pattern]) => pattern.test(words)) ?? [null, "basket", hash(category.join()) % 360];
  const hue = (shelfHue + (seed % 47) - 23 + 360) % 360;
  const other = (hue + [150, 180, 40, 320][(seed >>> 6) & 3]) % 360;
  const colour = (h, saturation, light) => `hsl(${h} ${saturation}% ${light}%)`;
  const body = colour(hue, 52 + (seed % 14), 46 + ((seed >>> 9) % 9));
  const shape = SHAPES[name](body, colour(hue, 48, 28), colour(other, 62, 86));
  return s(
    "svg",
    // Wider than what is drawn: a card shows all of it, a square its middle.
    { viewBox: "-13 0 126 100", preserveAspectRatio: "xMidYMid slice", class: "art", ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }) },
    s("rect", { x: -13, width: 126, height: 100, fill: colour(hue, 46, 91) }),
    ...backdrop(seed, colour(hue, 48, 85), colour(other, 45, 88)),
    s("ellipse", { cx: 50, cy: 91, rx: 26, ry: 3.5, fill: colour(hue, 30, 74) }),
    s("g", { transform: `rotate(${((seed >>> 12) % 9) - 4} 50 60)` }, ...shape),
  );
}

function backdrop(seed, one, two) {
  const x = 12 + ((seed >>> 3) % 76);
  switch ((seed >>> 16) % 4) {
    case 0:
      return [o(x, 30, 34, one), o(100 - x, 78, 22, two)];
    case 1:
      return [p(`M-13 ${40 + (x % 30)}Q50 ${10 + (x % 40)} 113 ${50 - (x % 20)}V100H-13z`, one)];
    case 2:
      return [p(`M${x} 0L113 ${x}V0zM-13 100V${100 - x}L${x} 100z`, one), o(20, 24, 8, two)];
    default:
      return [0, 1, 2, 3, 4].map((step) => p(`M${step * 28 - (x % 28) - 8} 0h12v100h-12z`, step % 2 ? two : one));
  }
}
