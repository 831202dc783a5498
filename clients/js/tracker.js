// Freshet's browser tracker. tracker.d.ts says what each call does.
const BATCH = 64; // events a request: profiles tell repeats while fewer than 128 others lie between
const BATCH_CHARS = 20_000; // 60,000 bytes at most: a page that is left may have 64 KiB under way
const LINES = 100; // items of an event
const SESSION_GAP_MS = 1_800_000; // what Freshet calls a session
const TIMEOUT_MS = 30_000; // longer than ingest waits for its log
const PAUSE_MS = 500; // before the second try; doubles up to
const PAUSE_MAX_MS = 30_000;

let count = 0;
const hex = (number, digits) => number.toString(16).padStart(digits, 0);

/** UUIDv7: ids of a page sort as they were made. */
function uuid() {
  const time = hex(Date.now(), 12);
  const [a, b, c, d] = crypto.getRandomValues(new Uint16Array(4));
  const head = `${time.slice(0, 8)}-${time.slice(8)}-7${hex(count++ & 4095, 3)}`;
  return `${head}-${hex(32768 | (a & 16383), 4)}-${hex(b, 4)}${hex(c, 4)}${hex(d, 4)}`;
}

const warn = (event, told) => told.outcome == "accepted" || console.warn("freshet:", told, event);

export function createTracker({
  url,
  eventsUrl = url,
  key,
  userId,
  consent,
  context,
  name = "freshet",
  flushMs = 100,
  maxQueued = 500,
  onOutcome = warn,
  fetch = self.fetch,
}) {
  // A text body and a key in the query need no preflight, and are all that a beacon can send.
  const target = eventsUrl.replace(/(\/events)?\/*$/, "/events") + (key ? "?key=" + encodeURIComponent(key) : "");
  const [ID, SESSION, CONSENT, EVENT] = ["id", "session", "consent", "e."].map((part) => name + "." + part);
  let busy = []; // under way
  let failures = 0;
  let most = BATCH;
  let running;
  let timer;

  // Each event has a key of its own: tabs overwrite nothing of each other.
  let store = {};
  try {
    localStorage[ID + 0] = "";
    delete localStorage[ID + 0];
    store = localStorage;
  } catch {} // denied: in memory
  const put = (at, value) => {
    try {
      store[at] = value;
    } catch {
      store = { ...store, [at]: value }; // full: from now on in memory
    }
  };
  const queued = () => Object.keys(store).filter((at) => at.startsWith(EVENT)).sort();
  const denied = () => store[CONSENT] == "false";

  function settle(at, outcome) {
    const event = store[at];
    delete store[at];
    if (event) onOutcome(JSON.parse(event), outcome);
  }

  function add(fields) {
    const event_id = uuid();
    const at = EVENT + event_id;
    put(at, JSON.stringify({ ...fields, event_id, timestamp: Date.now() }));
    if (store[at].length > BATCH_CHARS) settle(at, { outcome: "dropped", code: "too_large" });
    for (const old of queued().slice(0, -maxQueued)) settle(old, { outcome: "dropped", code: "queue_full" });
    running || wait(flushMs);
    return event_id;
  }

  function batch(from) {
    let room = BATCH_CHARS;
    const ats = from.slice(0, most).filter((at) => (room -= store[at].length) >= 0);
    return [ats, `[${ats.map((at) => store[at])}]`];
  }

  const wait = (ms) => (timer ||= setTimeout(flush, ms));

  function flush() {
    timer = clearTimeout(timer);
    // One tab at a time; the next finds what is left.
    return (running ||= (navigator.locks?.request(name, send) ?? send()).finally(() => {
      running = 0;
      if (queued()[0]) wait(flushMs);
    }));
  }

  async function send() {
    for (let body; ([busy, body] = batch(queued())), busy[0]; ) {
      const pauseMs = await post(busy, body);
      busy = [];
      if (pauseMs) return void wait(pauseMs);
    }
  }

  /** One try: 0, or ms to the next. */
  async function post(ats, body) {
    let response = {};
    let answer;
    try {
      const signal = AbortSignal.timeout?.(TIMEOUT_MS);
      response = await fetch(target, { method: "POST", body, keepalive: true, credentials: "omit", signal });
      answer = await response.json();
    } catch {} // no network, or not Freshet that answers
    const { status, headers } = response;
    const { event_ids = [], positions, rejected = [], outcomes = [], code, detail } = answer || {};
    if (status == 413 && ats[1]) return (most = ats.length >> 1) * 0;
    const said = {};
    for (const one of [...rejected, ...outcomes]) said[one.event_id] = { outcome: "rejected", ...one };
    event_ids.forEach((id, index) => (said[id] = { outcome: "accepted", position: positions[index] }));
    for (const at of ats) {
      const one =
        said[at.slice(EVENT.length)] || (/400|413/.test(status) && { outcome: "rejected", code, error: detail });
      if (!one || /^log_/.test(one.code)) continue; // the log was away or full: once more
      if (one.code == "timestamp_in_future" && store[at])
        put(at, JSON.stringify({ ...JSON.parse(store[at]), timestamp: undefined })); // the server's clock counts
      else settle(at, one);
    }
    if (!ats.some((at) => store[at])) return (failures = 0);
    if (code) console.warn("freshet:", status, code, detail);
    const pauseMs = Math.min(PAUSE_MS * 2 ** failures++, PAUSE_MAX_MS);
    return Math.min(headers?.get("retry-after") * 1000 || 0, PAUSE_MAX_MS) + pauseMs * (0.5 + Math.random() / 2);
  }

  /** The page may be gone in a moment. What a beacon takes is kept too: nobody tells whether it arrives. */
  function leave() {
    const [ats, body] = batch(queued().filter((at) => !busy.includes(at)));
    if (ats[0] && navigator.sendBeacon(target, body)) busy = [...busy, ...ats];
  }

  function resume() {
    failures = 0;
    flush();
  }

  const tracker = {
    get anonymousId() {
      if (!denied() && !store[ID]) put(ID, uuid());
      return store[ID];
    },

    track(event_type, item = {}) {
      if (denied()) return;
      const now = Date.now();
      let [session_id, last] = (store[SESSION] || "").split(" ");
      if (!(now - last < SESSION_GAP_MS)) session_id = uuid();
      put(SESSION, session_id + " " + now);
      return add({
        event_type,
        user_id: userId,
        anonymous_id: tracker.anonymousId,
        session_id,
        context,
        ...(typeof item == "object" ? item : { item_id: item }),
      });
    },

    impression(items, recommendation_id) {
      const ids = items.map((item) => item.item_id ?? item);
      while (ids.length) tracker.track("impression", { items: ids.splice(0, LINES), recommendation_id });
    },

    identify(id) {
      if (id == userId) return;
      userId = id ?? undefined;
      if (userId) tracker.track("identify");
      else for (const at of [ID, SESSION]) delete store[at]; // signed out: somebody new
    },

    consent(given) {
      if (store[CONSENT] == "" + given) return;
      const ids = { user_id: userId, anonymous_id: store[ID] };
      if (!given)
        for (const at of [...queued(), ID, SESSION])
          if (!/"consent":false,"e/.test(store[at])) delete store[at]; // a denial that waits still counts
      put(CONSENT, "" + given);
      for (const id in ids) if (ids[id]) add({ event_type: "identify", [id]: ids[id], consent: given });
    },

    flush,
  };

  if (consent != null) tracker.consent(consent);
  addEventListener("pagehide", leave);
  addEventListener("online", resume);
  addEventListener("visibilitychange", () => (document.hidden ? leave() : resume()));
  if (queued()[0]) wait(flushMs);
  return tracker;
}
