// A stand-in player: a drawn reel that runs, pauses and seeks, and reports what a player reports.

import { filmUrl, titleOf } from "./card.js";
import { calm, h, s, say } from "./dom.js";
import { track } from "./track.js";

// The catalogue has no running times: a chapter runs twenty minutes here, a feature an hour.
const CHAPTER_S = 20 * 60;
const FEATURE_S = 60 * 60;
const SPEEDS = [1, 10, 60, 300];
const REPORT_MS = 3000; // as often as players report, by the wall clock
const FRAME_MS = 100;
const SEEK_S = 10;

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

export class Player {
  /** The answer that led here: { item, answer }. */
  static cameWith = null;

  /** `progress` (0 to 1): where to go on. */
  constructor(film, progress) {
    this.film = film;
    this.duration = film.group_id ? CHAPTER_S : FEATURE_S;
    this.at = progress < 0.95 ? progress * this.duration : 0;
    this.speed = 60;
    this.isPlaying = false;
    this.hasStarted = false;
    this.isFinished = false;
    if (Player.cameWith?.item === film.item_id) this.recommendationId = Player.cameWith.answer;
    this.build();
    this.draw();
  }

  get progress() {
    return Math.min(1, this.at / this.duration);
  }

  build() {
    const { film } = this;
    this.heading = h("h1", { id: "film-title", tabindex: "-1", dir: "auto" }, titleOf(film));
    this.wheels = [0, 1].map((place) => reel(place ? 236 : 84));
    this.tape = s("path", { class: "tape", d: "M84 134Q160 176 236 134" });
    this.play = h("button", { class: "add play", onclick: () => this.toggle() }, "Play");
    this.seek = h("input", { type: "range", min: 0, max: this.duration, step: SEEK_S, "aria-label": "Position", oninput: () => this.jump(Number(this.seek.value)), onchange: () => this.report() });
    this.time = h("span", { class: "time" });
    const speed = h("select", { id: "speed", onchange: () => (this.speed = Number(speed.value)) }, SPEEDS.map((factor) => h("option", { value: factor, selected: factor === this.speed }, `${factor} ×`)));
    this.following = h("p", { class: "following", hidden: true });
    const { year, director } = film.properties ?? {};
    this.element = h(
      "section",
      { class: "player", "aria-labelledby": "film-title" },
      s("svg", { viewBox: "0 0 320 190", class: "reels", "aria-hidden": "true" }, s("rect", { width: 320, height: 190, rx: 14, class: "screen" }), this.tape, ...this.wheels),
      h(
        "div",
        { class: "player-text" },
        h("p", { class: "crumbs" }, h("a", { href: "/watch" }, "← Watch")),
        this.heading,
        h("p", { class: "lead" }, [year, director].filter(Boolean).join(", ")),
        h("div", { class: "controls" }, this.play, this.seek, this.time, h("p", { class: "field" }, h("label", { for: "speed" }, "Speed"), speed)),
        this.following,
      ),
    );
  }

  draw() {
    this.seek.value = this.at;
    const text = `${clock(this.at)} of ${clock(this.duration)}`;
    if (this.time.textContent !== text) this.time.textContent = text;
    this.seek.setAttribute("aria-valuetext", text);
    this.play.textContent = this.isPlaying ? "Pause" : this.isFinished ? "Play again" : this.at > 0 ? "Resume" : "Play";
    if (calm.matches) return;
    this.wheels.forEach((wheel, place) => wheel.setAttribute("transform", `rotate(${(this.at * 2) % 360} ${place ? 236 : 84} 84)`));
  }

  toggle() {
    if (this.isPlaying) {
      this.pause();
      this.report();
      return;
    }
    if (this.isFinished || !this.hasStarted) this.begin();
    this.isPlaying = true;
    this.last = this.reported = performance.now();
    this.timer = setInterval(() => this.run(), FRAME_MS);
    this.draw();
  }

  begin() {
    if (this.isFinished) this.at = 0;
    this.isFinished = false;
    this.hasStarted = true;
    this.following.hidden = true;
    this.post("video_start", "Started", { progress: round(this.progress) });
  }

  run() {
    const now = performance.now();
    this.at = Math.min(this.duration, this.at + ((now - this.last) / 1000) * this.speed);
    this.last = now;
    if (this.at >= this.duration) this.finish();
    else if (now - this.reported >= REPORT_MS) this.report();
    this.draw();
  }

  jump(seconds) {
    this.at = seconds;
    if (seconds >= this.duration) this.finish();
    this.draw();
  }

  report() {
    this.reported = performance.now();
    if (!this.hasStarted || this.isFinished) return;
    this.post("video_progress", `Watched to ${Math.round(this.progress * 100)} %`, { progress: round(this.progress) });
  }

  finish() {
    this.pause();
    if (this.isFinished) return;
    this.isFinished = this.hasStarted = true;
    say(`${titleOf(this.film)} is over`);
    this.post("video_complete", "Finished", { progress: 1 });
  }

  pause() {
    clearInterval(this.timer);
    this.isPlaying = false;
    this.draw();
  }

  /** What Continue watching has now: after this chapter, the next one is offered. */
  offer(items) {
    if (!this.isFinished || !this.film.group_id) return;
    const next = items.find((item) => item.group_id === this.film.group_id && item.reason.code === "next_episode");
    if (!next) return;
    this.following.replaceChildren("Next: ", h("a", { href: filmUrl(next.item_id) }, titleOf(next)));
    this.following.hidden = false;
  }

  /** Leave it: what was watched is reported. */
  close() {
    const wasPlaying = this.isPlaying;
    this.pause();
    if (wasPlaying) this.report();
  }

  post(event_type, what, more) {
    track({ event_type, item_id: this.film.item_id, recommendation_id: this.recommendationId, ...more }, `${what}: ${titleOf(this.film)}`);
  }
}

const round = (share) => Math.round(share * 10000) / 10000;

function reel(x) {
  const holes = [0, 72, 144, 216, 288].map((turn) => s("circle", { class: "hole", cx: x, cy: 58, r: 10, transform: `rotate(${turn} ${x} 84)` }));
  return s("g", {}, s("circle", { class: "wheel", cx: x, cy: 84, r: 50 }), ...holes, s("circle", { class: "hole", cx: x, cy: 84, r: 6 }));
}
