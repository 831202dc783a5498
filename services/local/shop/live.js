// A page that follows a visitor: one list over the stream, and the rows around it asked for whenever it changes.

import { ApiError, call, follow } from "./api.js";
import { say } from "./dom.js";
import { FIELDS, streamUrl } from "./early.js";
import { causeOf, listShown, way } from "./track.js";
import { visitor } from "./visitor.js";

const EMPTY_AGAIN_MS = 2000; // an empty catalogue announces nothing when it fills
const SAID_AFTER_MS = 1000; // a screen reader is told once the row stands still, and has said what was clicked

export class LivePage {
  /**
   * `lead`: { scenario, n, row } streamed. `rows`: [{ scenario, n, row, item_id?, only?, titles? }] asked for in one
   * call, once the lead is shown. `only(item)` says which items belong into a row. `onChange(answer)`: after each
   * change of the lead.
   */
  constructor({ lead, rows, filter, onChange = () => {}, onEmpty = () => {} }) {
    Object.assign(this, { lead, rows, filter, onChange, onEmpty });
    this.asking = null;
    this.again = false;
    this.changed = () => this.restart();
    this.visible = () => (document.hidden ? this.pause() : this.restart());
  }

  start() {
    visitor.addEventListener("change", this.changed);
    document.addEventListener("visibilitychange", this.visible);
    this.restart();
  }

  stop() {
    this.pause();
    visitor.removeEventListener("change", this.changed);
    document.removeEventListener("visibilitychange", this.visible);
  }

  /** A hidden tab holds no stream: a browser opens six connections to a server, for all its tabs. */
  pause() {
    this.ending?.abort();
    clearTimeout(this.timer);
    clearTimeout(this.telling);
  }

  restart() {
    this.pause();
    this.ending = new AbortController();
    const { signal } = this.ending;
    const url = streamUrl({ ...this.lead, filter: this.filter });
    follow(url, (list, id) => !signal.aborted && this.take(list, id), signal).catch((error) => {
      if (!(error instanceof ApiError) || error.status !== 401) this.onEmpty(error);
    });
  }

  take(list, id) {
    const items = this.lead.only ? list.items.filter(this.lead.only) : list.items;
    const had = this.lead.row.order.length > 0;
    const change = this.lead.row.show(items, list.recommendation_id);
    this.hasItems = items.length > 0;
    const { signal } = this.ending;
    const shown = listShown(id);
    if (list.strategy === "none" && !this.lead.mayBeEmpty) {
      this.onEmpty(null);
      this.timer = setTimeout(() => this.restart(), EMPTY_AGAIN_MS);
      return;
    }
    // What comes next does not hold up the frame that shows this.
    shown.then(() => {
      if (had && change.changed && !signal.aborted) this.tell(items, change, id);
      if (!this.hasLead) performance.mark("first-rows"); // benchmarks/page.py reads it
      this.hasLead = true;
      if (signal.aborted) return;
      this.onChange(list);
      this.refresh();
    });
  }

  /** Says what has changed, and after what: beside the heading, at the foot, and to a screen reader. */
  tell(items, { added, risen }, id) {
    const { row } = this.lead;
    const parts = [added && `${added} new`, risen && `${risen} moved up`].filter(Boolean);
    const text = parts.join(", ") || "rearranged";
    row.note.textContent = text;
    const turn = (this.turn = {}); // until the next one
    causeOf(id).then((cause) => cause && this.turn === turn && (row.note.textContent = `${text} after “${cause}”`));
    way.dispatchEvent(new CustomEvent("list", { detail: { row, text } }));
    clearTimeout(this.telling);
    if (!items.length) return;
    const [{ title, item_id, reason }] = items;
    const told = `${row.heading.textContent} rearranged: now first ${title ?? item_id}. ${reason.text}. ${text}`;
    this.telling = setTimeout(() => say(told), SAID_AFTER_MS);
  }

  /** Asks for the rows; while that runs, once more at its end. */
  async refresh() {
    if (this.asking) {
      this.again = true;
      return this.asking;
    }
    this.asking = this.ask().finally(() => {
      this.asking = null;
      if (this.again) {
        this.again = false;
        this.refresh();
      }
    });
    return this.asking;
  }

  async ask() {
    const rows = this.rows;
    const user = visitor.id;
    if (!rows.length) return;
    const body = {
      user_id: user,
      fields: FIELDS,
      context: visitor.context,
      ...(this.filter ? { filter: this.filter } : {}),
      rows: rows.map(({ scenario, n, item_id, filter }, place) => ({
        id: String(place),
        scenario,
        n,
        ...(item_id ? { item_id } : {}),
        ...(filter ? { filter } : {}),
      })),
    };
    let answer;
    try {
      answer = await call("/recommend", body);
    } catch (error) {
      if (error instanceof ApiError) return; // the stream tells what is wrong, and starts anew
      throw error;
    }
    if (rows !== this.rows || user !== visitor.id) return;
    answer.rows.forEach((one, place) => {
      const { row, only, named } = rows[place];
      if (named) row.retitle(...named(one));
      row.show(only ? one.items.filter(only) : one.items, one.recommendation_id);
    });
  }

  /** Other rows from now on. */
  setRows(rows) {
    this.rows = rows;
    if (this.hasLead) this.refresh();
  }
}
