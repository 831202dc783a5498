/** Which items an event is about, and what else is said about it. */
export interface EventFields {
  item_id?: string | number;
  /** Lines of an order, at most 100. */
  items?: (string | number | { item_id: string | number; quantity?: number; price?: number })[];
  /** The list that led to it, as the answer of /recommend named it. */
  recommendation_id?: string;
  order_id?: string | number;
  price?: number;
  currency?: string;
  quantity?: number;
  value?: number;
  /** Of `rating`: 0 to 5. */
  rating?: number;
  /** Of `video_progress`: 0 to 1. */
  progress?: number;
  context?: EventContext;
  properties?: Record<string, unknown>;
  /** Anything else is kept under `properties`. */
  [name: string]: unknown;
}

export interface EventContext {
  country?: string;
  language?: string;
  device?: string;
  [name: string]: unknown;
}

/** The types that Freshet knows; others' names for them (GA4, Segment) and those of your deployment work too. */
export type EventType =
  | "view" | "click" | "cart_add" | "cart_remove" | "purchase"
  | "video_start" | "video_progress" | "video_complete"
  | "share" | "like" | "dislike" | "rating" | "search" | "impression" | "identify"
  | (string & {});

/** An event as it stands in the queue. The id stays the same however often it is sent. */
export interface QueuedEvent extends EventFields {
  event_id: string;
  event_type: EventType;
  /** Unix time, ms; absent once the server has found this device's clock to be ahead. */
  timestamp?: number;
  user_id?: string;
  anonymous_id?: string;
  session_id?: string;
}

/** What became of an event. */
export type Outcome =
  /** It is in the log. `position` is what `after=` of /recommend takes. */
  | { outcome: "accepted"; position: string }
  /** The server does not take it, and says why; it is not sent again. */
  | { outcome: "rejected"; code: string; error?: string }
  /** It never left: more than `maxQueued` waited and it was the oldest, or it is larger than 20,000 characters. */
  | { outcome: "dropped"; code: "queue_full" | "too_large" };

export interface TrackerOptions {
  /** Where Freshet answers, such as `https://freshet.example`. */
  url: string;
  /** Where ingest answers, if elsewhere; with or without `/events` at the end. */
  eventsUrl?: string;
  /** One of FRESHET_WRITE_KEYS. It is public: it may post events and nothing else. */
  key?: string;
  /** Who is signed in. */
  userId?: string;
  /** `false`: nothing is stored or sent until `consent(true)`. Absent: what was said last holds, at first yes. */
  consent?: boolean;
  /** Goes with every event. */
  context?: EventContext;
  /** What all keys in localStorage begin with; default `freshet`. */
  name?: string;
  /** How long an event waits for others, ms; default 100. */
  flushMs?: number;
  /** How many events wait at most while there is no network; default 500. Then the oldest is dropped. */
  maxQueued?: number;
  /** Told of every event once. By default, what was not accepted is written to the console. */
  onOutcome?: (event: QueuedEvent, outcome: Outcome) => void;
  /** What posts, in place of the browser's own: to add a header, say. A page that is left sends its beacon without it. */
  fetch?: (url: string, options: RequestInit) => Promise<Response>;
}

export interface Tracker {
  /** The visitor's id, the same on later pages: `anonymous_id` of /recommend. Undefined while consent is denied. */
  readonly anonymousId: string | undefined;

  /** Records an event and answers its id; undefined while consent is denied. It is sent within `flushMs`. */
  track(type: EventType, item?: string | number | EventFields): string | undefined;

  /** Says what was shown, so that what is ignored again and again sinks. Items are ids, or objects with `item_id`. */
  impression(items: (string | number | { item_id: string | number })[], recommendationId?: string): void;

  /** Says who is signed in, for this event and all that follow. `null`: signed out; the visitor is somebody new. */
  identify(userId: string | null): void;

  /**
   * `false`: forgets ids and what waits, tells Freshet once to empty the profiles of this visitor (kept until it
   * has arrived), and does nothing from then on, on later pages too. `true`: tells that it is allowed again.
   */
  consent(given: boolean): void;

  /** Sends what waits now; resolves when all is sent or a try has failed. */
  flush(): Promise<void>;
}

/** Makes the tracker of a page. Needs a browser: on a server, do not call it. */
export function createTracker(options: TrackerOptions): Tracker;
