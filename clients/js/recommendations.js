// Lists for a page. recommendations.d.ts says what each call does.
const PAUSE_MS = 500; // before a refused stream is opened again; doubles up to
const PAUSE_MAX_MS = 30_000;

function address(url, userId, asked, end = "") {
  const { context = {}, ...rest } = asked;
  const query = new URLSearchParams();
  for (const name in rest) if (rest[name] != null) query.set(name, rest[name]);
  for (const name in context) query.set("context." + name, context[name]);
  const user = userId == null ? "" : "/" + encodeURIComponent(userId);
  return `${url.replace(/\/+$/, "")}/recommend${user}${end}?${query}`;
}

export async function recommend({ url, userId, headers, signal, ...asked }) {
  const response = await fetch(address(url, userId, asked), { headers, signal });
  const answer = await response.json().catch(() => ({}));
  if (response.ok && answer.items) return answer;
  // A server for pages answers a path that it does not know with its index.html, and 200.
  const said = response.ok ? "no list of Freshet's at " + response.url : response.statusText;
  const { code = "http_" + response.status, detail = said } = answer;
  throw Object.assign(new Error(`${code}: ${detail}`), { status: response.status, code, detail });
}

export function subscribe({ url, userId, ...asked }, onList, onError = () => {}) {
  if (userId == null) throw new TypeError("subscribe needs userId; of a visitor who is not signed in, the anonymous id");
  const target = address(url, userId, asked, "/stream");
  let source;
  let timer;
  let failures = 0;

  function open() {
    close();
    source = new EventSource(target);
    source.onmessage = ({ data }) => {
      failures = 0;
      onList(JSON.parse(data));
    };
    source.onerror = () => {
      if (source.readyState != EventSource.CLOSED) return; // the browser connects again by itself
      const pauseMs = Math.min(PAUSE_MS * 2 ** failures++, PAUSE_MAX_MS) * (0.5 + Math.random() / 2);
      timer = setTimeout(open, pauseMs);
      onError(pauseMs);
    };
  }

  function close() {
    clearTimeout(timer);
    source?.close();
  }

  // A hidden page needs no stream, and over HTTP/1.1 a browser has six connections to a host for all its tabs.
  const look = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    document.removeEventListener("visibilitychange", look);
    close();
  };
}
