/** What a list is asked for by; docs/RECOMMEND.md has every parameter. Lists of values are arrays. */
export interface RecommendOptions {
  /**
   * Where Freshet answers, or a path of your own server that hands on to it. Reading needs one of FRESHET_KEYS,
   * which must not be in a page: let your server add it.
   */
  url: string;
  /** For whom: who is signed in, or the tracker's `anonymousId`. */
  userId?: string | null | undefined;
  /** Combines a second profile, of before the visitor signed in: the tracker's `anonymousId`. */
  anonymous_id?: string | undefined;
  /** How many items, 1 to 200; default 10. */
  n?: number;
  /** `for_you`, `similar`, `bought_together`, `trending` … ; default `for_you`. */
  scenario?: string;
  /** The item of this page, for `similar` and `bought_together`. */
  item_id?: string;
  /** Catalogue fields to answer beside the ids. */
  fields?: string[];
  /** In the short form: `categories:Grocery > Cheese;price:..4`. */
  filter?: string;
  relax?: string[];
  at_least?: number;
  diversity?: number;
  exclude?: string[];
  explain?: boolean;
  cursor?: string;
  /** A position of the tracker's `onOutcome`: the list is made after that event, or says `fresh: false`. */
  after?: string;
  context?: Record<string, string | number | boolean>;
}

export interface RecommendedItem {
  item_id: string;
  score: number;
  rank: number;
  reason: { code: string; text: string; item_id?: string; category?: string };
  /** The catalogue fields that were asked for. */
  [field: string]: unknown;
}

export interface Recommendations {
  items: RecommendedItem[];
  /** Send it with the events that this list leads to. */
  recommendation_id: string;
  scenario: string;
  strategy: string;
  release: string | null;
  user_id: string | null;
  anonymous_id: string | null;
  profile_events: number;
  profile_age_ms: number | null;
  fresh: boolean;
  next_cursor?: string;
  [more: string]: unknown;
}

/** What `recommend` throws for an answer that is no list: RFC 9457's members. */
export interface Problem extends Error {
  status: number;
  code: string;
  detail: string;
}

/** One list. Throws a Problem, also for an answer that is no list (a page, say), or what fetch throws without a network. */
export function recommend(
  options: RecommendOptions & { headers?: HeadersInit; signal?: AbortSignal },
): Promise<Recommendations>;

/**
 * A list at once, and a new one whenever the profile has changed, while the page is visible; answers what ends it.
 * A stream that is refused is opened again after a pause, which `onError` is told, in ms.
 */
export function subscribe(
  options: RecommendOptions & { userId: string },
  onList: (list: Recommendations) => void,
  onError?: (pauseMs: number) => void,
): () => void;
