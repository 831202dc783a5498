// The Watch tab: films and serials, a stand-in player, and rows that follow what is watched.

import { call, query } from "./api.js";
import { Browse } from "./browse.js";
import { filmUrl, titleOf } from "./card.js";
import { h } from "./dom.js";
import { LivePage } from "./live.js";
import { Player } from "./player.js";
import { ProfilePanel } from "./profile.js";
import { Row } from "./row.js";
import { tile } from "./tiles.js";
import { cameWith } from "./track.js";
import { visitor } from "./visitor.js";

const FILTER = "categories:Films,Serials";
const LOAD = "freshet items import services/local/demo/films.ndjson";

/** Shows it in `main`; answers { update(parameters), unmount() }. */
export function mountWatch(main, parameters) {
  const row = (options) => new Row({ card: filmCard, kind: "films", ...options });
  const going = row({ title: "Continue watching", live: true, waiting: false, note: "follows what you play", empty: "Nothing begun. Play something and leave it: it waits here, and after a chapter the next one does." });
  const forYou = row({ title: "For you" });
  const recent = row({ title: "Recently watched", hidden: true, waiting: false });
  const browse = new Browse({ title: "All films and serials", filter: FILTER, card: filmCard, kind: "films", departments: false, prices: false, unit: "titles" });
  const stage = h("div", { class: "stage" });
  const page = h("div", {}, stage, going.element, forYou.element, recent.element, browse.element);
  main.replaceChildren(page);
  const profile = new ProfilePanel();
  let player = null;

  const live = new LivePage({
    lead: { scenario: "continue_watching", n: 12, row: going, mayBeEmpty: true },
    rows: [
      { scenario: "for_you", n: 12, row: forYou },
      { scenario: "recently_viewed", n: 12, row: recent, only: (item) => item.reason.code === "recently_viewed" },
    ],
    filter: FILTER,
    onChange: (list) => {
      browse.start();
      player?.offer(list.items);
      profile.refresh();
    },
  });

  async function update(now) {
    const filmId = now.get("film");
    player?.close();
    player = null;
    if (!filmId) {
      stage.replaceChildren(welcome(profile));
      return;
    }
    const asked = query({ scenario: "continue_watching", filter: FILTER, n: 12, fields: "title" });
    const [film, begun] = await Promise.all([
      call(`/items/${encodeURIComponent(filmId)}`).catch((error) => error),
      call(`/recommend/${encodeURIComponent(visitor.id)}?${asked}`).catch(() => ({ items: [] })),
    ]);
    if (film instanceof Error) {
      stage.replaceChildren(h("section", { class: "notice" }, h("h1", { tabindex: "-1" }, "This film cannot be shown"), h("p", {}, film.message)));
      return;
    }
    const known = begun.items.find((item) => item.item_id === filmId);
    player = new Player(film, known?.reason.progress ?? 0);
    stage.replaceChildren(player.element);
    document.title = `${titleOf(film)} – Freshet`;
    player.heading.focus({ preventScroll: true });
  }

  live.start();
  update(parameters);
  call(`/items?${query({ filter: FILTER, limit: 1, fields: "title" })}`)
    .then(({ total }) => total === 0 && main.replaceChildren(noFilms()))
    .catch(() => {});
  return {
    update,
    unmount() {
      player?.close();
      live.stop();
      browse.stop();
    },
  };
}

const welcome = (profile) =>
  h(
    "section",
    { class: "welcome", "aria-labelledby": "welcome" },
    h("div", {}, h("h1", { id: "welcome", tabindex: "-1" }, "Leave a film. It waits for you."), h("p", { class: "lead" }, "The player is a stand-in: a drawn reel without a picture. What it reports is real: started, how far, finished. Continue watching follows it, and brings the next chapter of a serial.")),
    profile.element,
  );

const noFilms = () =>
  h(
    "section",
    { class: "notice" },
    h("h1", { tabindex: "-1" }, "No films in this catalogue"),
    h("p", {}, "Items below the categories Films and Serials are shown here. Those of the demo are a file:"),
    h("pre", { tabindex: "0", "aria-label": "Command" }, h("code", {}, `${LOAD} --url ${location.origin}`)),
  );

function filmCard(item) {
  const why = h("p", { class: "reason" });
  const { year, country } = item.properties ?? {};
  const genre = item.categories?.[0]?.[1] ?? "";
  const done = h("span", { class: "progress-fill" });
  const progress = h("span", { class: "progress", "aria-hidden": "true", hidden: true }, done);
  const element = h(
    "li",
    { class: "card film" },
    h("div", { class: "picture" }, tile(item), progress),
    h("h3", { dir: "auto" }, h("a", { href: filmUrl(item.item_id) }, titleOf(item))),
    h("p", { class: "facts" }, h("b", {}, year ?? ""), h("span", {}, [genre, country].filter(Boolean).join(", "))),
    why,
  );
  const update = (newer) => {
    const far = newer.reason?.progress;
    const text = far > 0 ? `${newer.reason.text} (${Math.round(far * 100)} %)` : (newer.reason?.text ?? "");
    if (why.textContent !== text) why.textContent = text;
    progress.hidden = !(far > 0);
    done.style.width = `${Math.round((far ?? 0) * 100)}%`;
  };
  update(item);
  element.addEventListener("click", () => (Player.cameWith = { item: item.item_id, answer: cameWith(element) }));
  return { element, update };
}
