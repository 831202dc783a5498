// Reads Prometheus' text format.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { n: "\n", '"': '"', "\\": "\\" };

const numberOf = (text) => (text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text));

/** Samples by name: Map of name → [{ labels, value }]. */
export function parse(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const found = line[0] === "#" ? null : SAMPLE.exec(line);
    if (!found) continue;
    const [, name, inside = "", value] = found;
    const labels = {};
    for (const [, label, quoted] of inside.matchAll(LABEL)) labels[label] = quoted.replace(/\\(.)/g, (_, one) => ESCAPES[one] ?? one);
    if (!samples.has(name)) samples.set(name, []);
    samples.get(name).push({ labels, value: numberOf(value) });
  }
  return samples;
}

const fits = (labels, wanted) => Object.entries(wanted).every(([name, value]) => labels[name] === value);

/** The sum of a metric's samples with these labels; null where there is none. */
export function total(samples, name, wanted = {}) {
  const fitting = (samples.get(name) ?? []).filter(({ labels }) => fits(labels, wanted));
  return fitting.length ? fitting.reduce((sum, { value }) => sum + value, 0) : null;
}

/** A metric summed by one label: Map of label value → number. */
export function by(samples, name, label) {
  const sums = new Map();
  for (const { labels, value } of samples.get(name) ?? []) sums.set(labels[label], (sums.get(labels[label]) ?? 0) + value);
  return sums;
}

/** A histogram's buckets as [{ le, count }], each with what is in it alone. */
export function buckets(samples, name) {
  const sums = new Map();
  for (const { labels, value } of samples.get(`${name}_bucket`) ?? []) {
    const le = numberOf(labels.le);
    sums.set(le, (sums.get(le) ?? 0) + value);
  }
  let before = 0;
  return [...sums].sort(([one], [other]) => one - other).map(([le, upTo]) => {
    const alone = { le, count: upTo - before };
    before = upTo;
    return alone;
  });
}

/** The quantile of buckets, by linear interpolation as Prometheus does; null without observations. */
export function quantile(parts, share) {
  const all = parts.reduce((sum, { count }) => sum + count, 0);
  if (all <= 0) return null;
  let left = share * all;
  let from = 0;
  for (const { le, count } of parts) {
    if (left <= count && count > 0) return le === Infinity ? from : from + (le - from) * (left / count);
    left -= count;
    if (le !== Infinity) from = le;
  }
  return from;
}
