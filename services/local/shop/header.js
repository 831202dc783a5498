// Who looks, in which context, the cart; and what is wrong, should something be.

import { key, link } from "./api.js";
import { calm, h, s, say } from "./dom.js";
import { become, becomeNew, cart, findHouseholds, setContext, visitor } from "./visitor.js";

const NONE = ["", "Not set"];
const CONTEXT = {
  country: ["Country", [NONE, ["US", "United States"], ["DE", "Germany"], ["FR", "France"], ["GB", "United Kingdom"], ["JP", "Japan"]]],
  device: ["Device", [NONE, ["desktop", "Desktop"], ["mobile", "Mobile"], ["tablet", "Tablet"], ["tv", "TV"]]],
  language: ["Language", [NONE, ["en", "English"], ["de", "Deutsch"], ["fr", "Français"], ["es", "Español"]]],
};

export function showHeader() {
  const name = h("span", { class: "who-name" });
  const select = h("select", { id: "visitor", onchange: () => become(select.value) });
  const menu = h(
    "details",
    { class: "menu" },
    h("summary", { "aria-label": "Visitor and context" }, person(), name),
    h(
      "div",
      { class: "panel" },
      field("visitor", "Looking as", select),
      h("button", { class: "wide", onclick: () => (becomeNew(), say(`You are ${visitor.id}, whom nobody has seen before`)) }, "New visitor"),
      ...Object.entries(CONTEXT).map(([part, [title, choices]]) => field(`context-${part}`, title, chooser(part, choices))),
      h("p", { class: "hint" }, "Whoever you look as, every click is theirs. Country, device and language go with each event and question; reasons are translated where the deployment has texts."),
    ),
  );
  const amount = h("b", {}, "0");
  const cartLink = h("a", { class: "cart-link", href: "/?cart" }, h("span", {}, "Cart"), amount);
  document.getElementById("who").append(menu, cartLink);

  const show = () => {
    name.textContent = visitor.own === visitor.id ? "You" : visitor.id;
    const own = visitor.own === visitor.id ? `${visitor.own} (you)` : visitor.own;
    const choices = [[visitor.own, own], ...visitor.households.map(({ id, text }) => [id, text])];
    if (!choices.some(([id]) => id === visitor.id)) choices.push([visitor.id, visitor.id]);
    select.replaceChildren(...choices.map(([value, text]) => h("option", { value, selected: value === visitor.id }, text)));
    const lines = cart().reduce((sum, line) => sum + line.quantity, 0);
    if (amount.textContent !== String(lines)) {
      amount.textContent = lines;
      if (!calm.matches) amount.animate([{ transform: "scale(1.5)" }, { transform: "none" }], { duration: 350, easing: "ease-out" });
    }
    cartLink.setAttribute("aria-label", `Cart, ${lines} ${lines === 1 ? "item" : "items"}`);
  };
  visitor.addEventListener("change", show);
  visitor.addEventListener("cart", show);
  menu.addEventListener("toggle", () => {
    if (menu.open && !visitor.households.length) findHouseholds().then(show);
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  addEventListener("pointerdown", (event) => {
    if (menu.open && !menu.contains(event.target)) menu.open = false;
  });
  show();
  showTrouble();
}

const person = () =>
  s("svg", { viewBox: "0 0 20 20", width: 18, height: 18, class: "face", "aria-hidden": "true" }, s("circle", { cx: 10, cy: 6.5, r: 3.5 }), s("path", { d: "M3 18a7 7 0 0 1 14 0z" }));

const field = (id, title, control) => h("p", { class: "field" }, h("label", { for: id }, title), control);

function chooser(part, choices) {
  const select = h("select", { id: `context-${part}`, onchange: () => setContext(part, select.value) });
  const now = visitor.context[part] ?? "";
  select.append(...choices.map(([value, text]) => h("option", { value, selected: value === now }, text)));
  return select;
}

function showTrouble() {
  const banner = document.getElementById("banner");
  const gone = () => {
    banner.textContent = "Freshet does not answer. This page tries again every second; what you click is kept and sent then.";
    banner.hidden = false;
  };
  link.addEventListener("gone", gone);
  if (link.isGone) gone();
  link.addEventListener("back", () => {
    banner.hidden = true;
    say("Freshet answers again");
  });
  link.addEventListener("locked", askForKey);
  if (link.isLocked) askForKey();
}

/** A dialog for one of FRESHET_KEYS; the page starts anew with it. */
function askForKey() {
  if (document.getElementById("key-dialog")) return;
  const input = h("input", { id: "key", type: "password", autocomplete: "off", required: true, "aria-describedby": "key-hint" });
  const take = (event) => {
    event.preventDefault();
    key.set(input.value.trim());
    location.reload();
  };
  const wrong = key.get() ? "The key that you gave is none of this service’s." : "This Freshet asks for a key.";
  const dialog = h(
    "dialog",
    { id: "key-dialog", "aria-labelledby": "key-title" },
    h("h2", { id: "key-title" }, wrong),
    h("p", { id: "key-hint" }, "Give one of FRESHET_KEYS (a write key cannot read). It stays in this tab and is forgotten with it."),
    h("form", { onsubmit: take }, field("key", "Key", input), h("button", { class: "add wide", type: "submit" }, "Continue")),
  );
  document.body.append(dialog);
  dialog.showModal();
}
