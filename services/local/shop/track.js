// Posts what happens, measures its way, and notes what was seen.

import { ApiError, call, link, query } from "./api.js";
import { freshId, painted } from "./dom.js";
import { visitor } from "./visitor.js";

const WAITING_MAX = 50; // events kept while nobody answers; a page that clicks more often has other trouble
const LISTS_MAX = 8; // streamed lists whose time on screen is remembered
const IMPRESSION_WAIT_MS = 1200; // what comes into view together is one event
const IMPRESSION_ITEMS = 100; // the lines that one event may have

/** "step": the way of the last event has got further; `detail` is { label, accepted, written, shown, failed }. */
export const way = new EventTarget();
let current = null;
const lists = []; // { position, at }: what the stream brought, and when it was on the screen
const waiting = [];

const step = (one) => one === current && way.dispatchEvent(new CustomEvent("step", { detail: one }));

/** Whether a position of a subject's own partition lies at or behind another one. */
function reaches(position, other) {
  const [generation, partition, offset] = position.split("-").map(Number);
  const [otherGeneration, otherPartition, otherOffset] = other.split("-").map(Number);
  return generation === otherGeneration && partition === otherPartition && offset >= otherOffset;
}

/** A streamed list is drawn: it was made of the profile, and times are taken again once it is on the screen. */
export async function listShown(position) {
  const one = current;
  if (one?.position && one.written === null && reaches(position, one.position)) {
    one.written = performance.now() - one.began;
    step(one);
  }
  await painted();
  const at = performance.now();
  lists.push({ position, at });
  if (lists.length > LISTS_MAX) lists.shift();
  if (current?.position && current.shown === null && reaches(position, current.position)) {
    current.shown = at - current.began;
    current.written = Math.min(current.written ?? Infinity, current.shown);
    step(current);
  }
}

function complete(event) {
  const context = Object.keys(visitor.context).length ? { context: visitor.context } : {};
  return { event_id: freshId(), user_id: visitor.id, ...context, ...event };
}

/**
 * Posts an event and follows it: accepted by the log, in the profile, on the screen. `label` names it.
 * Where nobody answers it waits, with its id, until somebody does.
 */
export async function track(event, label) {
  const whole = complete(event);
  const one = { label, began: performance.now(), accepted: null, written: null, shown: null, position: null, failed: "" };
  current = one;
  step(one);
  try {
    const answer = await call("/events", whole);
    one.accepted = performance.now() - one.began;
    one.position = answer.positions[0];
    const before = lists.find((list) => list.at > one.began && reaches(list.position, one.position));
    if (before) {
      one.written = one.shown = before.at - one.began;
      one.accepted = Math.min(one.accepted, one.shown); // the list overtook the 202: it was accepted by then
    }
    step(one);
    const after = { after: one.position, n: 1, scenario: "recently_viewed" };
    const fresh = await call(`/recommend/${encodeURIComponent(whole.user_id)}?${query(after)}`);
    if (fresh.fresh) one.written ??= performance.now() - one.began;
    step(one);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const repeats = error.status === 0 || error.status === 503;
    one.failed = repeats ? "kept here until Freshet answers" : error.message;
    if (repeats && !one.position) {
      waiting.push(whole);
      if (waiting.length > WAITING_MAX) waiting.shift();
    }
    step(one);
  }
}

link.addEventListener("back", async () => {
  while (waiting.length) {
    const sent = waiting.splice(0, waiting.length);
    try {
      await call("/events", sent);
    } catch (error) {
      if (error.status === 0 || error.status === 503) waiting.unshift(...sent);
      return;
    }
  }
});

// What was seen. Each item counts once while a page is looked at; a list that Freshet rearranges does not
// show it anew.
const answerOf = new WeakMap(); // element → recommendation_id
let seen = new Set();
let pending = new Map(); // recommendation_id → item ids
let timer = 0;

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      const item = target.dataset.item;
      if (!isIntersecting || seen.has(item)) continue;
      seen.add(item);
      const answer = answerOf.get(target) ?? "";
      pending.set(answer, [...(pending.get(answer) ?? []), item]);
      clearTimeout(timer);
      timer = setTimeout(postImpressions, IMPRESSION_WAIT_MS);
    }
  },
  { threshold: 0.6 },
);

/** `element` shows the item in its `data-item`, which came with an answer. */
export function seeable(element, recommendationId) {
  answerOf.set(element, recommendationId);
  watcher.observe(element);
}

/** The answer that led to what an element shows. */
export const cameWith = (element) => answerOf.get(element);

export const unseeable = (element) => watcher.unobserve(element);

/** Another page is looked at: what is on it is seen anew. */
export function newPage() {
  postImpressions();
  seen = new Set();
}

function postImpressions() {
  clearTimeout(timer);
  const events = [...pending].map(([answer, items]) =>
    complete({
      event_type: "impression",
      ...(answer ? { recommendation_id: answer } : {}),
      items: items.slice(0, IMPRESSION_ITEMS).map((item_id) => ({ item_id })),
    }),
  );
  pending = new Map();
  if (events.length) call("/events", events).catch(() => {}); // a lost one is no loss
}

visitor.addEventListener("change", () => {
  pending = new Map();
  seen = new Set();
  lists.length = 0;
});
