/** How each state of a task is written and drawn: a label, a glyph and a CSS class, never a colour alone. */
import { type Counts, type StateName, STATES } from "./protocol";

export interface Look {
  readonly label: string;
  /** Outline of a 12 x 12 glyph, as the `d` of an SVG path. */
  readonly glyph: string;
}

export const LOOKS: Readonly<Record<StateName, Look>> = {
  done: { label: "done", glyph: "M2 6.5 L5 9.5 L10.2 2.8" },
  running: { label: "running", glyph: "M3.4 2 L10 6 L3.4 10 Z" },
  assigned: { label: "assigned", glyph: "M2 2.5 H10 M2 6 H10 M2 9.5 H6.5" },
  ready: { label: "ready", glyph: "M6 1.8 A4.2 4.2 0 1 0 6 10.2 A4.2 4.2 0 1 0 6 1.8 M6 4.6 V7.4 M4.6 6 H7.4" },
  waiting: { label: "waiting", glyph: "M6 1.8 A4.2 4.2 0 1 0 6 10.2 A4.2 4.2 0 1 0 6 1.8 M6 3.6 V6.2 L7.8 7.4" },
  held: { label: "held", glyph: "M4 2.2 V9.8 M8 2.2 V9.8" },
  cancelling: { label: "cancelling", glyph: "M6 1.8 A4.2 4.2 0 1 1 1.8 6 M3.9 6 H8.1" },
  failed: { label: "failed", glyph: "M2.6 2.6 L9.4 9.4 M9.4 2.6 L2.6 9.4" },
  cancelled: { label: "cancelled", glyph: "M6 1.8 A4.2 4.2 0 1 0 6 10.2 A4.2 4.2 0 1 0 6 1.8 M3.2 8.8 L8.8 3.2" },
  skipped: { label: "skipped", glyph: "M2 2.6 L6 6 L2 9.4 M6.2 2.6 L10.2 6 L6.2 9.4" },
};

export interface Share {
  readonly state: StateName;
  readonly count: number;
}

/** States that at least one task is in, in the order of `STATES`. */
export function present(counts: Counts): Share[] {
  return STATES.map((state, i) => ({ state, count: counts[i] ?? 0 })).filter((share) => share.count > 0);
}

export function total(counts: Counts): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

export function count(counts: Counts, ...states: StateName[]): number {
  return states.reduce((sum, state) => sum + (counts[STATES.indexOf(state)] ?? 0), 0);
}

/** Tasks that will not run again by themselves. */
export function ended(counts: Counts): number {
  return count(counts, "done", "failed", "cancelled", "skipped");
}

/**
 * What a whole set is doing: `failed` and `held` only when that is true of the set, not of one task in it (a single
 * failure has its own mark); `mixed` is a set that ended, some of it without a result.
 */
export type Mood = "idle" | "active" | "done" | "mixed" | "failed" | "held" | "stopped";

export function mood(counts: Counts): Mood {
  const n = total(counts);
  if (n === 0) return "idle";
  const failed = count(counts, "failed");
  if (failed * 2 >= n || (failed > 0 && ended(counts) === n && count(counts, "done") === 0)) return "failed";
  if (ended(counts) === n) {
    if (count(counts, "done") === n) return "done";
    return count(counts, "cancelled", "skipped") * 2 >= n ? "stopped" : "mixed";
  }
  if (count(counts, "running", "assigned", "cancelling") > 0) return "active";
  if (count(counts, "held") > 0 && count(counts, "ready", "waiting") === 0) return "held";
  return "idle";
}
