/**
 * The live state of one campaign in the browser. Views subscribe by key and are told at most once a frame.
 *
 * Order of arrival does not matter beyond `seq`: a status or delta older than what is shown is dropped, and counts are
 * absolute, so that the last word wins.
 */
import { type RateUnit, rateUnit } from "./format";
import { type Graph, type Message, type Phase, type SetStatus, type Status, STATES } from "./protocol";

type Listener = () => void;

export const NO_GRAPH: Graph = { rev: -1, sets: [], edges: [], note: "" };
export const NO_STATUS: SetStatus = { counts: STATES.map(() => 0), rate: null, mean: null };

/** After this long without a word from a live campaign the view says that it is stale; Python speaks every second. */
export const STALE_AFTER_MS = 3500;

export interface StoreOptions {
  /** Runs a function before the next frame. */
  readonly schedule?: (flush: () => void) => void;
  /** Milliseconds that only grow. */
  readonly now?: () => number;
}

export class CampaignStore {
  graph: Graph = NO_GRAPH;
  phase: Phase = "closed";
  seq = -1;
  trouble = "";
  /** Of the rates of all cards. */
  unit: RateUnit = "min";
  private heard: number;
  private readonly rows = new Map<string, SetStatus>();
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly dirty = new Set<string>();
  private scheduled = false;
  private readonly schedule: (flush: () => void) => void;
  private readonly now: () => number;

  constructor(options: StoreOptions = {}) {
    this.schedule = options.schedule ?? ((flush) => void requestAnimationFrame(flush));
    this.now = options.now ?? (() => performance.now());
    this.heard = this.now();
  }

  /** What is known of a set; the same object until it changes. */
  row(id: string): SetStatus {
    return this.rows.get(id) ?? NO_STATUS;
  }

  applyGraph(graph: Graph): void {
    if (graph.rev <= this.graph.rev) return;
    this.graph = graph;
    this.touch("graph");
  }

  /** Takes a full status; `fresh` says that it was sent just now and not found in a trait. */
  applyStatus(status: Status, fresh: boolean): void {
    if (fresh) this.hear();
    if (status.seq < this.seq) return;
    this.seq = status.seq;
    this.setPhase(status.phase);
    this.setTrouble(status.trouble);
    this.setRows(status.rows);
  }

  applyMessage(message: Message): void {
    this.hear();
    if (message.type === "trouble") {
      this.setTrouble(message.text);
      return;
    }
    if (message.seq < this.seq) return;
    this.seq = message.seq;
    if (message.type === "beat") {
      this.setPhase(message.phase);
    } else {
      this.setRows(message.rows);
    }
  }

  /** Age of what is shown in seconds when the campaign should be live and nothing came for a while; else null. */
  staleFor(): number | null {
    const silent = this.now() - this.heard;
    return this.phase === "live" && silent > STALE_AFTER_MS ? silent / 1000 : null;
  }

  /** Calls back after changes of `key`: a set's id with the prefix `set:`, `graph`, `rows` (any set), `unit` or `clock`. */
  subscribe(key: string, listener: Listener): () => void {
    const known = this.listeners.get(key) ?? new Set<Listener>();
    this.listeners.set(key, known.add(listener));
    return () => known.delete(listener);
  }

  private hear(): void {
    this.heard = this.now();
    this.touch("clock");
  }

  private setPhase(phase: Phase): void {
    if (phase === this.phase) return;
    this.phase = phase;
    this.touch("clock");
  }

  private setTrouble(text: string): void {
    if (text === this.trouble) return;
    this.trouble = text;
    this.touch("clock");
  }

  private setRows(rows: ReadonlyMap<string, SetStatus>): void {
    for (const [id, row] of rows) this.setRow(id, row);
    const unit = rateUnit([...this.rows.values()].map((row) => row.rate));
    if (unit === this.unit) return;
    this.unit = unit;
    this.touch("unit");
  }

  private setRow(id: string, row: SetStatus): void {
    const old = this.rows.get(id);
    if (old && old.rate === row.rate && old.mean === row.mean && same(old.counts, row.counts)) return;
    this.rows.set(id, row);
    this.touch(`set:${id}`);
    this.touch("rows");
  }

  private touch(key: string): void {
    this.dirty.add(key);
    if (this.scheduled) return;
    this.scheduled = true;
    this.schedule(() => this.flush());
  }

  private flush(): void {
    this.scheduled = false;
    const keys = [...this.dirty];
    this.dirty.clear();
    for (const key of keys) {
      for (const listener of [...(this.listeners.get(key) ?? [])]) listener();
    }
  }
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}
