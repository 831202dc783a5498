// What to do where there is nothing to show.

import { loading } from "./api.js";
import { h } from "./dom.js";

const IMPORT = "freshet items import FILE";

/** What is said while nothing can be shown: the demo is on its way, or how to bring items in. */
export async function emptyCatalogue() {
  const coming = await loading();
  if (!coming) return importing();
  return h("section", { class: "notice" }, h("h1", { tabindex: "-1" }, "A moment"), h("p", { role: "status" }, `${coming[0].toUpperCase()}${coming.slice(1)}.`));
}

function importing() {
  const url = location.origin;
  const curl = `curl -X PUT ${url}/items/sku-1 -H 'content-type: application/json' \\\n     -d '{"title": "Rye bread", "categories": ["Bakery > Bread"], "price": 2.4, "currency": "EUR"}'`;
  return h(
    "section",
    { class: "notice" },
    h("h1", { tabindex: "-1" }, "The catalogue is empty"),
    h("p", {}, "Fill it from CSV, NDJSON or Parquet, and this page shows it two seconds later:"),
    h("pre", { tabindex: "0", "aria-label": "Command" }, h("code", {}, `${IMPORT} --url ${url}`)),
    h("p", {}, "or put in one item:"),
    h("pre", { tabindex: "0", "aria-label": "Command" }, h("code", {}, curl)),
    h("p", {}, h("a", { href: "/docs" }, "All calls")),
  );
}

export const refused = (error) =>
  h("section", { class: "notice" }, h("h1", { tabindex: "-1" }, "Freshet refused what this page asked"), h("p", {}, `${error.status} ${error.code}: ${error.message}`));
