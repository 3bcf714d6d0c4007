/**
 * What Python tells the views, and how it is checked on arrival. The other end is `workbench/ui/wire.py`.
 *
 * The graph and a full status travel as traits, so that a view that opens late finds them; changes travel as messages
 * with absolute counts, so that a lost one is healed by the next. Nothing here is trusted: a malformed message raises
 * `ProtocolError`, which a view shows as text.
 */

/** States of a task, in the order in which counts are listed and bars are drawn. */
export const STATES = [
  "done",
  "running",
  "assigned",
  "ready",
  "waiting",
  "held",
  "cancelling",
  "failed",
  "cancelled",
  "skipped",
] as const;

export type StateName = (typeof STATES)[number];

/** Number of tasks in each state, by the order of `STATES`. */
export type Counts = readonly number[];

/** A task set, or a group of them where a campaign has more sets than a screen can show. */
export interface SetCard {
  readonly id: string;
  readonly name: string;
  /** `function`, `executable`, `mpi`, `synthetic` or `group`. */
  readonly kind: string;
  /** Number of task sets behind the card; 1 unless it is a group. */
  readonly sets: number;
  readonly cores: number;
  readonly gpus: number;
  /** Bytes per node; 0 when not stated. */
  readonly memory: number;
  readonly nodes: number;
  /** Declared mean of TX in seconds; null when it is learned. */
  readonly estimate: number | null;
  /** Colours of the set in the other views, in the light and the dark theme; "" when it has none. */
  readonly colors: readonly [string, string];
}

export interface EdgeRow {
  readonly src: string;
  readonly dst: string;
  readonly kind: "all" | "each";
  /** The edge joins single tasks only. */
  readonly part: boolean;
}

export interface Graph {
  readonly rev: number;
  readonly sets: readonly SetCard[];
  readonly edges: readonly EdgeRow[];
  /** Says what the graph leaves out, or "". */
  readonly note: string;
}

export interface SetStatus {
  readonly counts: Counts;
  /** Finished tasks per second of the campaign; null before the first. */
  readonly rate: number | null;
  /** Measured mean of TX in seconds; null before the first. */
  readonly mean: number | null;
}

export type Phase = "live" | "closed";

export interface Status {
  readonly seq: number;
  readonly phase: Phase;
  readonly rows: ReadonlyMap<string, SetStatus>;
  /** What Python complained of, or "". */
  readonly trouble: string;
}

export type Message =
  | { readonly type: "delta"; readonly seq: number; readonly rows: ReadonlyMap<string, SetStatus> }
  | { readonly type: "beat"; readonly seq: number; readonly phase: Phase }
  | { readonly type: "trouble"; readonly text: string };

/** The line above the graph. Times are seconds of the campaign. */
export interface Head {
  readonly name: string;
  readonly mode: string;
  readonly policy: string;
  readonly seq: number;
  readonly phase: Phase;
  readonly counts: Counts;
  readonly sets: number;
  readonly state: string;
  readonly elapsed: number | null;
  readonly predicted: number | null;
  /** P10 and P90 of the predicted makespan; null where nothing was sampled. */
  readonly band: readonly [number, number] | null;
  readonly bound: number | null;
  /** What policy auto chose, and why; "" under another policy. */
  readonly plan: string;
  readonly why: string;
  /** What it did not choose: names and makespans, the best first. */
  readonly others: readonly (readonly [string, number])[];
  /** How good forecasts were, or "", and what the words in it mean. */
  readonly scored: string;
  readonly terms: string;
  readonly trouble: string;
}

/** Coordinates of the top left corners of cards. */
export type Positions = Readonly<Record<string, readonly [number, number]>>;

export class ProtocolError extends Error {}

type Fields = Record<string, unknown>;

function fields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError(`${what} is not an object`);
  }
  return value as Fields;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new ProtocolError(`${what} is not a list`);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string") throw new ProtocolError(`${what} is not a text`);
  return value;
}

function number(value: unknown, what: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new ProtocolError(`${what} is not a number`);
  return value;
}

function maybe(value: unknown, what: string): number | null {
  return value === null || value === undefined ? null : number(value, what);
}

function band(value: unknown, what: string): readonly [number, number] | null {
  if (value === null) return null;
  const [low, high] = list(value, what);
  return [number(low, what), number(high, what)];
}

function counts(value: unknown, what: string): Counts {
  const found = list(value, what).map((item) => number(item, what));
  if (found.length !== STATES.length) throw new ProtocolError(`${what} has ${found.length} counts`);
  return found;
}

/** A colour goes into a style, so it has to be one. */
function color(value: unknown, what: string): string {
  const found = text(value, what);
  if (found !== "" && !/^#[0-9a-f]{6}$/i.test(found)) throw new ProtocolError(`${what} is not a colour`);
  return found;
}

function phase(value: unknown): Phase {
  if (value !== "live" && value !== "closed") throw new ProtocolError("phase is neither live nor closed");
  return value;
}

function rows(value: unknown): ReadonlyMap<string, SetStatus> {
  const found = new Map<string, SetStatus>();
  for (const item of list(value, "rows")) {
    const [id, tally, rate, mean] = list(item, "row");
    found.set(text(id, "row.id"), {
      counts: counts(tally, "row.counts"),
      rate: maybe(rate, "row.rate"),
      mean: maybe(mean, "row.mean"),
    });
  }
  return found;
}

/** Checks a graph; edges to sets that it does not have are an error. */
export function parseGraph(value: unknown): Graph {
  const raw = fields(value, "graph");
  const sets = list(raw.sets, "graph.sets").map((item): SetCard => {
    const s = fields(item, "set");
    return {
      id: text(s.id, "set.id"),
      name: text(s.name, "set.name"),
      kind: text(s.kind, "set.kind"),
      sets: number(s.sets, "set.sets"),
      cores: number(s.cores, "set.cores"),
      gpus: number(s.gpus, "set.gpus"),
      memory: number(s.memory, "set.memory"),
      nodes: number(s.nodes, "set.nodes"),
      estimate: maybe(s.estimate, "set.estimate"),
      colors: [color(s.light, "set.light"), color(s.dark, "set.dark")],
    };
  });
  const known = new Set(sets.map((s) => s.id));
  const edges = list(raw.edges, "graph.edges").map((item): EdgeRow => {
    const e = fields(item, "edge");
    const src = text(e.src, "edge.src");
    const dst = text(e.dst, "edge.dst");
    if (!known.has(src) || !known.has(dst)) throw new ProtocolError(`edge ${src} to ${dst} names an unknown set`);
    return { src, dst, kind: e.kind === "each" ? "each" : "all", part: e.part === true };
  });
  return { rev: number(raw.rev, "graph.rev"), sets, edges, note: text(raw.note, "graph.note") };
}

export function parseStatus(value: unknown): Status {
  const raw = fields(value, "status");
  return {
    seq: number(raw.seq, "status.seq"),
    phase: phase(raw.phase),
    rows: rows(raw.rows),
    trouble: text(raw.trouble, "status.trouble"),
  };
}

/** Checks a message; null for a type that a newer Python may send and this bundle does not know. */
export function parseMessage(value: unknown): Message | null {
  const raw = fields(value, "message");
  switch (raw.type) {
    case "delta":
      return { type: "delta", seq: number(raw.seq, "delta.seq"), rows: rows(raw.rows) };
    case "beat":
      return { type: "beat", seq: number(raw.seq, "beat.seq"), phase: phase(raw.phase) };
    case "trouble":
      return { type: "trouble", text: text(raw.text, "trouble.text") };
    default:
      return null;
  }
}

export function parseHead(value: unknown): Head {
  const raw = fields(value, "head");
  return {
    name: text(raw.name, "head.name"),
    mode: text(raw.mode, "head.mode"),
    policy: text(raw.policy, "head.policy"),
    seq: number(raw.seq, "head.seq"),
    phase: phase(raw.phase),
    counts: counts(raw.counts, "head.counts"),
    sets: number(raw.sets, "head.sets"),
    state: text(raw.state, "head.state"),
    elapsed: maybe(raw.elapsed, "head.elapsed"),
    predicted: maybe(raw.predicted, "head.predicted"),
    band: band(raw.band, "head.band"),
    bound: maybe(raw.bound, "head.bound"),
    plan: text(raw.plan, "head.plan"),
    why: text(raw.why, "head.why"),
    others: list(raw.others, "head.others").map((item): readonly [string, number] => {
      const [name, makespan] = list(item, "head.others");
      return [text(name, "head.others"), number(makespan, "head.others")];
    }),
    scored: text(raw.scored, "head.scored"),
    terms: text(raw.terms, "head.terms"),
    trouble: text(raw.trouble, "head.trouble"),
  };
}

/** Positions that an earlier view left behind; entries of another shape are dropped. */
export function parsePositions(value: unknown): Positions {
  const found: Record<string, readonly [number, number]> = {};
  if (typeof value !== "object" || value === null) return found;
  for (const [id, at] of Object.entries(value)) {
    if (Array.isArray(at) && at.length === 2 && at.every((x) => Number.isFinite(x))) found[id] = [at[0], at[1]];
  }
  return found;
}
