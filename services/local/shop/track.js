// Posts what happens by our own browser tracker (clients/js), measures its way, and notes what was seen.

import { ApiError, call, link, post, query } from "./api.js";
import { painted } from "./dom.js";
import { createTracker } from "./tracker.js";
import { visitor } from "./visitor.js";

const LISTS_MAX = 8; // streamed lists whose time on screen is remembered
const IMPRESSION_WAIT_MS = 1200; // what comes into view together is one event
const IMPRESSION_ITEMS = 100; // the lines that one event may have
const RECENT_MS = 5000; // a list that comes later was not brought by the last click
const KEPT = "Kept here until Freshet answers";

// Batches, keeps events through a lost network or a server that restarts, and counts each once. A page whose
// visitors wait for nothing would leave `flushMs` as it is; here each click is on its way at once.
const tracker = createTracker({ url: location.origin, name: "freshet-shop", flushMs: 0, fetch: send, onOutcome: settled });

/** "step": the way of the last event has got further; `detail` is { label, accepted, written, shown, failed }.
 * "list": the rows of a page have followed; `detail` is { row, text }. */
export const way = new EventTarget();
let current = null;
const lists = []; // { position, at }: what the stream brought, and when it was on the screen

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

/** What brought the list at `position`: the last thing done, or "". Waits for the 202, which a list may overtake. */
export async function causeOf(position) {
  const one = current;
  if (!one || performance.now() - one.began > RECENT_MS) return "";
  await one.settled;
  return one.position && reaches(position, one.position) ? one.label : "";
}

/** Hands an event to the tracker, as the visitor of the moment; answers its id. */
function hand({ event_type, ...fields }) {
  const context = Object.keys(visitor.context).length ? visitor.context : undefined;
  // The header chooses who looks: nobody is to be joined with whom this browser was before.
  return tracker.track(event_type, { ...fields, context, user_id: visitor.id, anonymous_id: undefined });
}

async function send(url, options) {
  const answer = await post(url, options);
  if (answer.status === 503) waits();
  return answer;
}

/** The last event is not in the log yet; the tracker tries again, with the same id. */
function waits() {
  if (!current || current.accepted !== null) return;
  current.failed = KEPT;
  step(current);
}

/** Posts an event and follows it: accepted by the log, in the profile, on the screen. `label` names it. */
export function track(event, label) {
  const one = { label, began: performance.now(), accepted: null, written: null, shown: null, position: null, failed: link.isGone ? KEPT : "" };
  one.settled = new Promise((resolve) => (one.settle = resolve));
  current = one;
  step(one);
  one.id = hand(event);
}

/** The tracker knows what became of an event. */
function settled(event, outcome) {
  const one = current;
  if (outcome.outcome !== "accepted") console.warn("freshet:", outcome, event);
  if (one?.id !== event.event_id) return;
  if (outcome.outcome !== "accepted") {
    one.failed = outcome.error ?? outcome.code;
    one.settle();
    step(one);
    return;
  }
  one.failed = "";
  one.accepted = performance.now() - one.began;
  one.position = outcome.position;
  one.settle();
  const before = lists.find((list) => list.at > one.began && reaches(list.position, one.position));
  if (before) {
    one.written = one.shown = before.at - one.began;
    one.accepted = Math.min(one.accepted, one.shown); // the list overtook the 202: it was accepted by then
  }
  step(one);
  confirm(one, event.user_id);
}

/** An answer that waits for the event's position says when the profile has it. */
async function confirm(one, user) {
  const after = { after: one.position, n: 1, scenario: "recently_viewed" };
  try {
    const fresh = await call(`/recommend/${encodeURIComponent(user)}?${query(after)}`);
    if (fresh.fresh) one.written ??= performance.now() - one.began;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    one.failed = error.message;
  }
  step(one);
}

link.addEventListener("gone", waits);
link.addEventListener("back", () => tracker.flush());

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
  for (const [answer, items] of pending) {
    hand({
      event_type: "impression",
      ...(answer ? { recommendation_id: answer } : {}),
      items: items.slice(0, IMPRESSION_ITEMS).map((item_id) => ({ item_id })),
    });
  }
  pending = new Map();
}

visitor.addEventListener("change", () => {
  pending = new Map();
  seen = new Set();
  lists.length = 0;
});
