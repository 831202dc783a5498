// Compiled, never run: what the declarations let through and what they refuse.
import { createTracker, type Outcome, type QueuedEvent } from "@freshet/tracker";
import { recommend, subscribe, type Recommendations } from "@freshet/tracker/recommendations";

const tracker = createTracker({
  url: "https://freshet.example",
  key: "k",
  consent: true,
  fetch: (url, options) => fetch(url, { ...options, headers: { authorization: "Bearer k" } }),
  onOutcome(event: QueuedEvent, outcome: Outcome) {
    if (outcome.outcome === "accepted") outcome.position.toUpperCase();
    else outcome.code.toUpperCase();
    // @ts-expect-error only what is accepted has a position
    outcome.position;
    event.event_id.toUpperCase();
  },
});

const id: string | undefined = tracker.track("view", "p_1");
tracker.track("purchase", { items: [{ item_id: 1, quantity: 2 }], currency: "EUR", store: 12 });
tracker.track("wishlist_add", 7);
tracker.impression(["p_1", { item_id: "p_2" }], "r");
tracker.identify(null);
tracker.flush().then(() => id);
const list: Promise<Recommendations> = recommend({ url: "/api", userId: tracker.anonymousId, fields: ["title"] });
list.then((found) => found.items[0]?.reason.code);
subscribe({ url: "/api", userId: "u" }, (found) => found.items.length)();

// @ts-expect-error an item is an id or fields
tracker.track("view", true);
// @ts-expect-error a price is a number
tracker.track("view", { item_id: "p", price: "4.50" });
// @ts-expect-error where to send is needed
createTracker({ key: "k" });
// @ts-expect-error a stream is somebody's, and a visitor who denied consent has no id
subscribe({ url: "/api", userId: tracker.anonymousId }, () => {});
// @ts-expect-error a stream is somebody's
subscribe({ url: "/api" }, () => {});
// @ts-expect-error not an option
createTracker({ url: "u", flushSeconds: 1 });
