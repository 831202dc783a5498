// Speaks to Freshet: JSON calls, and server-sent events by fetch, since EventSource can send no key.

const RETRY_MS = 1000;
const KEY = "freshet-key";

/** A refusal (status, code, detail), or status 0: nobody answered. */
export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** "locked" when a key is missing or wrong, "gone" when nobody answers, "back" when somebody does again. */
export const link = new EventTarget();
link.isGone = false;
link.isLocked = false;
const opened = new Map(); // url → { answer, ending }: streams that were opened before anybody follows them

function mark(gone) {
  if (gone === link.isGone) return;
  link.isGone = gone;
  link.dispatchEvent(new Event(gone ? "gone" : "back"));
}

/** The key of this tab; forgotten when it is closed. A browser that may keep nothing has none. */
export const key = {
  get: () => {
    try {
      return sessionStorage.getItem(KEY) ?? "";
    } catch {
      return "";
    }
  },
  set: (value) => sessionStorage.setItem(KEY, value),
};

function headers(more = {}) {
  const given = key.get();
  return given ? { ...more, authorization: `Bearer ${given}` } : more;
}

/** fetch, which tells `link` whether somebody answers. Throws ApiError where nobody does. */
async function reach(url, options) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    mark(true);
    throw new ApiError(0, "unreachable", "Freshet does not answer");
  }
  // A gateway in front of nothing. One service's metrics are away with it alone, and /pipeline says so.
  if (answer.status === 502 && !url.startsWith("/metrics/")) {
    mark(true);
    throw new ApiError(0, "unreachable", "the service behind the gateway does not answer");
  }
  mark(false);
  return answer;
}

/** fetch for the tracker: the key of this tab goes in a header, since a query takes write keys only. */
export const post = (url, options) => reach(url, { ...options, headers: headers() });

async function send(url, options) {
  const answer = await reach(url, options);
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401 || told.code === "write_key_only") {
    link.isLocked = true;
    link.dispatchEvent(new Event("locked"));
  }
  throw new ApiError(answer.status, told.code ?? "error", told.detail ?? answer.statusText);
}

/** GET without a body, POST with one; the answer's JSON. Throws ApiError. */
export async function call(url, body, { signal } = {}) {
  const options =
    body === undefined
      ? { headers: headers(), signal }
      : { method: "POST", body: JSON.stringify(body), headers: headers({ "content-type": "application/json" }), signal };
  return (await send(url, options)).json();
}

/** The text of a GET. Throws ApiError. */
export const text = async (url) => (await send(url, { headers: headers() })).text();

/** Why the demo cannot be seen yet, where it is being loaded; else nothing. */
export async function loading() {
  const told = await fetch("/readyz").then((answer) => answer.json()).catch(() => ({}));
  const demo = told.checks?.demo;
  return demo && demo !== "ok" ? demo : "";
}

/** A query string of what has a value. */
export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return new URLSearchParams(given).toString();
}

const stream = (url, signal) => send(url, { headers: headers({ accept: "text/event-stream" }), signal });

/** Opens a stream that `follow` will want. */
export function openEarly(url) {
  const ending = new AbortController();
  const answer = stream(url, ending.signal);
  answer.catch(() => {}); // whoever follows is told
  opened.set(url, { answer, ending });
}

/**
 * Follows a stream until `signal` ends it: `onList(list, id)` for each list, and whatever happens it connects again.
 */
export async function follow(url, onList, signal) {
  while (!signal.aborted) {
    let wait = RETRY_MS;
    try {
      const early = opened.get(url);
      opened.clear();
      if (early) signal.addEventListener("abort", () => early.ending.abort(), { once: true });
      const answer = await (early?.answer ?? stream(url, signal));
      await read(answer.body, (event) => {
        if (event.retry) wait = event.retry;
        if (event.name === "message" && event.data) onList(JSON.parse(event.data), event.id);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status && error.status < 500) throw error;
      if (!(error instanceof ApiError)) mark(true); // broken off in the middle
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

async function read(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (left + value).split("\n\n");
    left = blocks.pop();
    for (const block of blocks) onEvent(parsed(block));
  }
}

function parsed(block) {
  const event = { name: "message", data: "", id: "", retry: 0 };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 1) continue; // a comment, which keeps proxies awake
    const [field, value] = [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
    if (field === "data") event.data += value;
    else if (field === "id") event.id = value;
    else if (field === "event") event.name = value;
    else if (field === "retry") event.retry = Number(value);
  }
  return event;
}
