import { type EdgeRow, type Graph, type SetCard, STATES, type StateName } from "../src/protocol";

export function card(id: string, more: Partial<SetCard> = {}): SetCard {
  return {
    id,
    name: id,
    kind: "synthetic",
    sets: 1,
    cores: 1,
    gpus: 0,
    memory: 0,
    nodes: 1,
    estimate: null,
    colors: ["#0072b2", "#2a88d4"],
    ...more,
  };
}

/** A graph from pairs like `"a>b"`. */
export function graph(ids: readonly string[], ties: readonly string[] = [], rev = 1): Graph {
  const edges = ties.map((tie): EdgeRow => {
    const [src = "", dst = ""] = tie.split(">");
    return { src, dst, kind: "all", part: false };
  });
  return { rev, sets: ids.map((id) => card(id)), edges, note: "" };
}

export function counts(given: Partial<Record<StateName, number>>): number[] {
  return STATES.map((state) => given[state] ?? 0);
}

/** A repeatable stream of numbers in [0, 1). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A graph without circles: each set may depend on earlier ones. */
export function randomGraph(n: number, chance: number, next: () => number): Graph {
  const ids = Array.from({ length: n }, (_, i) => `s${i}`);
  const ties = ids.flatMap((dst, j) => ids.slice(0, j).flatMap((src) => (next() < chance ? [`${src}>${dst}`] : [])));
  return graph(ids, ties);
}

/** A stand-in for anywidget's model. */
export class FakeModel {
  readonly saved: Record<string, unknown>[] = [];
  readonly sent: unknown[] = [];
  private readonly heard = new Map<string, Set<(...args: unknown[]) => void>>();
  private changes: Record<string, unknown> = {};

  constructor(private readonly traits: Record<string, unknown>) {}

  get(name: string): unknown {
    return this.traits[name];
  }

  set(name: string, value: unknown): void {
    this.traits[name] = value;
    this.changes[name] = value;
  }

  save_changes(): void {
    this.saved.push(this.changes);
    this.changes = {};
  }

  send(content: unknown): void {
    this.sent.push(content);
  }

  on(event: string, callback: (...args: never[]) => void): void {
    const known = this.heard.get(event) ?? new Set();
    this.heard.set(event, known.add(callback as (...args: unknown[]) => void));
  }

  off(event: string, callback: (...args: never[]) => void): void {
    this.heard.get(event)?.delete(callback as (...args: unknown[]) => void);
  }

  /** Python changes a trait. */
  push(name: string, value: unknown): void {
    this.traits[name] = value;
    for (const callback of this.heard.get(`change:${name}`) ?? []) callback();
  }

  /** Python sends a message. */
  message(content: unknown, buffers: readonly DataView[] = []): void {
    for (const callback of this.heard.get("msg:custom") ?? []) callback(content, buffers);
  }

  get listeners(): number {
    return [...this.heard.values()].reduce((sum, callbacks) => sum + callbacks.size, 0);
  }
}
