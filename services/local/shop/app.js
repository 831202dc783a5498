// Starts the page: the path chooses the tab, its query what stands on the stage.

import { h, say } from "./dom.js";
import { showHeader } from "./header.js";
import { mountShop } from "./shop.js";
import { showStrip } from "./strip.js";
import { newPage } from "./track.js";

const TABS = {
  "/": { title: "Shop", mount: () => mountShop, strip: true },
  "/watch": { title: "Watch", mount: async () => (await import("./watch.js")).mountWatch, strip: true },
  "/pipeline": { title: "Pipeline", mount: async () => (await import("./pipeline.js")).mountPipeline, strip: false },
};
const main = document.getElementById("main");
let shown = null; // { path, update, unmount }
let turn = 0;

async function show(isFirst) {
  const mine = ++turn;
  const path = TABS[location.pathname] ? location.pathname : "/";
  const parameters = new URLSearchParams(location.search);
  const tab = TABS[path];
  for (const link of document.querySelectorAll("nav [data-tab]")) {
    if (link.dataset.tab === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${tab.title} – Freshet`;
  document.getElementById("strip").hidden = !tab.strip;
  if (!isFirst) newPage();
  if (shown?.path === path) await shown.update(parameters);
  else {
    const mount = tab.mount();
    const mounted = mount instanceof Promise ? await mount : mount;
    if (mine !== turn) return;
    shown?.unmount();
    shown = { path, ...mounted(main, parameters) };
  }
  if (!isFirst && mine === turn) {
    const heading = main.querySelector("h1");
    (heading ?? main).focus({ preventScroll: true });
    say(heading?.textContent ?? tab.title);
  }
}

function isOurs(link, event) {
  return link && link.origin === location.origin && link.pathname in TABS && !link.target && event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
}

addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!isOurs(link, event)) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  scrollTo({ top: 0, behavior: "instant" });
  show(false);
});
addEventListener("popstate", () => show(false));

// What nobody foresaw is said, not only written to the console.
for (const trouble of ["error", "unhandledrejection"]) {
  addEventListener(trouble, ({ message, reason }) => {
    const banner = document.getElementById("banner");
    banner.replaceChildren(`Something in this page broke (${message ?? reason?.message ?? reason}). `, h("a", { href: "", target: "_self" }, "Load it again"));
    banner.hidden = false;
  });
}

showHeader();
showStrip();
show(true);
