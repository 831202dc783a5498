// The running system, from its own metrics: asked once a second, while somebody looks.

import { ApiError, text } from "./api.js";
import { Bars, Line, Table } from "./charts.js";
import { count, h, ms } from "./dom.js";
import { by, buckets, parse, quantile, total } from "./prometheus.js";

const EVERY_MS = 1000;
const POINTS = 90;
const RATE_OVER_S = 5; // rates are over the last few seconds: one second of few events is noise
const BEHIND_GATEWAY = ["ingest", "profiler", "recommender"].map((name) => `/metrics/${name}`);
const FRESHNESS = "freshet_profiler_freshness_seconds";

/** Shows it in `main`; answers { update, unmount }. */
export function mountPipeline(main) {
  const panels = new Panels();
  main.replaceChildren(panels.element);
  let timer = 0;
  let ended = false;

  async function look() {
    clearTimeout(timer);
    if (!document.hidden) {
      try {
        panels.show(await samples(), performance.now() / 1000);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        panels.trouble(error.status ? error.message : "Freshet does not answer; asked again every second");
      }
    }
    if (!ended) timer = setTimeout(look, EVERY_MS);
  }

  document.addEventListener("visibilitychange", look);
  look();
  return {
    update() {},
    unmount() {
      ended = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    },
  };
}

let isBehindGateway = false;

/** All metrics: of one process, or of three behind a gateway. */
async function samples() {
  if (!isBehindGateway) {
    try {
      return parse(await text("/metrics"));
    } catch (error) {
      if (error.status !== 404) throw error;
      isBehindGateway = true;
    }
  }
  const texts = await Promise.all(BEHIND_GATEWAY.map((url) => text(url).catch((error) => (error.status === 401 ? Promise.reject(error) : ""))));
  if (!texts.some(Boolean)) throw new ApiError(404, "no_metrics", "the services' metrics are not reachable from here");
  return parse(texts.join("\n"));
}

class Panels {
  constructor() {
    this.history = []; // { at, accepted, applied, lists }
    this.first = null; // histograms when this page was opened
    this.starts = new Map(); // service → when it started
    this.coldStarts = 0;
    const ends = [`${(POINTS * EVERY_MS) / 1000} s ago`, "now"];
    this.events = new Line({ points: POINTS, ends, unit: "/s" });
    this.lag = new Line({ points: POINTS, ends, unit: "behind" });
    this.freshness = new Bars();
    this.figures = { events: figure("events/s accepted"), lists: figure("lists/s answered"), lag: figure("records behind"), fresh: figure("from event to profile, median") };
    this.tables = {
      events: new Table({ caption: "Events", columns: ["Events", "in all", "per second"] }),
      lag: new Table({ caption: "Records not applied yet", columns: ["Topic", "partitions", "behind", "most"] }),
      freshness: new Table({ caption: "Time from an event's arrival to its profile's write", columns: ["Up to", "events", "share"] }),
      strategies: new Table({ caption: "Lists by the step that answered", columns: ["Strategy", "lists", "share"] }),
      starts: new Table({ caption: "Services and their last start, from the beginning of the process", columns: ["Service", "up for", "loaded", "ready", "first work"] }),
    };
    this.note = h("p", { class: "row-note", role: "status" });
    this.coldNote = h("p", { class: "row-note" });
    this.freshNote = h("p", { class: "row-note" });
    this.element = h(
      "div",
      { class: "pipeline" },
      h("h1", { tabindex: "-1" }, "The running system"),
      h("p", { class: "lead" }, "What /metrics says, once a second. Open the ", h("a", { href: "/", target: "_blank", rel: "noopener" }, "shop in another window"), " and click: each click moves a line here."),
      this.note,
      h("div", { class: "figures" }, Object.values(this.figures).map(({ element }) => element)),
      h(
        "div",
        { class: "panels" },
        panel("Events", "", this.events.element, this.tables.events.element),
        panel("Freshness", "long", this.freshness.element, this.freshNote, this.tables.freshness.element),
        panel("Lag", "", this.lag.element, this.tables.lag.element),
        panel("Strategies", "", this.tables.strategies.element),
        panel("Starts", "", this.coldNote, this.tables.starts.element),
      ),
    );
  }

  trouble(why) {
    this.note.textContent = why;
  }

  show(now, at) {
    if (this.note.textContent) this.note.textContent = "";
    const accepted = total(now, "freshet_ingest_records_total", { topic: "events", outcome: "accepted" }) ?? 0;
    const applied = total(now, "freshet_profiler_records_total", { topic: "events", outcome: "applied" }) ?? 0;
    const lists = total(now, "freshet_recommendations_total") ?? 0;
    this.history.push({ at, accepted, applied, lists });
    while (this.history.length > 2 && at - this.history[1].at >= RATE_OVER_S) this.history.shift();
    const lag = total(now, "freshet_profiler_lag_records") ?? 0;
    const rates = { accepted: this.rate("accepted"), applied: this.rate("applied"), lists: this.rate("lists") };
    this.events.add(rates.accepted);
    this.lag.add(lag);
    this.figures.events.set(rates.accepted.toFixed(1));
    this.figures.lists.set(rates.lists.toFixed(1));
    this.figures.lag.set(count(lag));
    this.tables.events.show([
      ["accepted", count(accepted), rates.accepted.toFixed(1)],
      ["applied to profiles", count(applied), rates.applied.toFixed(1)],
      ["duplicates", count(total(now, "freshet_profiler_records_total", { topic: "events", outcome: "duplicate" }) ?? 0), ""],
      ["dead letters", count(total(now, "freshet_profiler_dead_total") ?? 0), ""],
    ]);
    const behind = new Map();
    for (const { labels, value } of now.get("freshet_profiler_lag_records") ?? []) {
      behind.set(labels.topic, [...(behind.get(labels.topic) ?? []), value]);
    }
    this.tables.lag.show([...behind].map(([topic, values]) => [topic, values.length, count(values.reduce((sum, one) => sum + one, 0)), count(Math.max(...values))]));
    this.showFreshness(now);
    this.showStrategies(now);
    this.showStarts(now);
  }

  /** Per second, over what is remembered; a restart counts from 0. */
  rate(name) {
    const [oldest, newest] = [this.history[0], this.history.at(-1)];
    return newest.at > oldest.at ? Math.max(0, newest[name] - oldest[name]) / (newest.at - oldest.at) : 0;
  }

  showFreshness(now) {
    const all = buckets(now, FRESHNESS);
    this.first ??= new Map(all.map(({ le, count: one }) => [le, one]));
    // What was imported waited for its turn; since the page is open says how it is now, once there is something.
    const since = all.map(({ le, count: one }) => ({ le, count: Math.max(0, one - (this.first.get(le) ?? 0)) }));
    const isSince = since.some(({ count: one }) => one > 0);
    const parts = isSince ? since : all;
    const sum = parts.reduce((before, { count: one }) => before + one, 0);
    const [half, late] = [quantile(parts, 0.5), quantile(parts, 0.99)];
    this.figures.fresh.set(isSince ? ms(half * 1000) : "–");
    this.freshNote.textContent = sum ? `${count(sum)} events ${isSince ? "since this page is open" : "since the start, imports included"}: p50 ${ms(half * 1000)}, p99 ${ms(late * 1000)}` : "no event yet";
    const bounds = parts.map(({ le }) => (le === Infinity ? "more" : ms(le * 1000)));
    this.freshness.show(parts.map(({ count: one }) => one), bounds[0], bounds.at(-1));
    this.tables.freshness.show(parts.filter(({ count: one }) => one).map(({ le, count: one }) => [le === Infinity ? "more" : ms(le * 1000), count(one), `${((100 * one) / sum).toFixed(1)} %`]));
  }

  showStrategies(now) {
    const strategies = [...by(now, "freshet_recommendations_total", "strategy")].sort((one, other) => other[1] - one[1]);
    const sum = strategies.reduce((before, [, one]) => before + one, 0) || 1;
    this.tables.strategies.show(strategies.map(([name, one]) => [name, count(one), `${((100 * one) / sum).toFixed(1)} %`]));
  }

  /** A service whose process is another than at the last look has started. */
  showStarts(now) {
    for (const [service, at] of by(now, "freshet_start_time_seconds", "service")) {
      if (this.starts.has(service) && this.starts.get(service) !== at) this.coldStarts += 1;
      this.starts.set(service, at);
    }
    this.coldNote.textContent = `${this.coldStarts} ${this.coldStarts === 1 ? "start" : "starts"} seen while this page is open`;
    const seconds = Date.now() / 1000;
    const step = (service, name) => total(now, "freshet_start_seconds", { service, step: name });
    const took = (value) => (value === null ? "" : value < 1 ? ms(value * 1000) : `${value.toFixed(1)} s`);
    this.tables.starts.show(
      ["ingest", "profiler", "recommender"].map((service) => {
        const at = total(now, "freshet_start_time_seconds", { service });
        const steps = ["loaded", "ready", "work"].map((name) => took(step(service, name)));
        return [service, at === null ? "not running (or at zero)" : lasting(seconds - at), ...steps];
      }),
    );
  }
}

function lasting(seconds) {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function figure(title) {
  const value = h("b", {}, "–");
  return { element: h("p", { class: "figure" }, value, h("span", {}, title)), set: (text) => (value.textContent = text) };
}

let made = 0;

function panel(title, kind, ...content) {
  const id = `panel-${++made}`;
  return h("section", { class: `panel-card ${kind}`, "aria-labelledby": id }, h("h2", { id }, title), ...content);
}
