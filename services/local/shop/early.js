// Loaded first, with little behind it: the stream of the first page is open before the rest of the page is here.

import { openEarly, query } from "./api.js";
import { visitor } from "./visitor.js";

export const FIELDS = ["title", "categories", "price", "currency", "brand", "group_id", "group_order", "properties"];
// Films share the catalogue with the shop; each tab has its own part of it.
// Its products are many and much alike (five white milks): a shop would ask for some variety, and so does this one.
export const SHOP = { scenario: "for_you", n: 12, filter: "!categories:Films,Serials", diversity: 0.3 };

/** Where the visitor's list of a scenario is streamed. */
export function streamUrl({ scenario, n, filter, diversity }) {
  const asked = { scenario, n, filter, diversity, fields: FIELDS.join(","), ...visitor.context };
  return `/recommend/${encodeURIComponent(visitor.id)}/stream?${query(asked)}`;
}

if (location.pathname === "/" && !document.hidden) openEarly(streamUrl(SHOP));
