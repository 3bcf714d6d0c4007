/** Numbers and durations as people read them. Pure. */
import { type SetCard, type SetStatus } from "./protocol";
import { LOOKS, present, total } from "./states";

/** Digits in groups of three, separated by a narrow space. */
export function whole(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** Three significant digits, without an exponent. */
function short(x: number): string {
  if (x >= 100) return whole(x);
  return String(Number(x.toPrecision(x >= 10 ? 3 : 2)));
}

/** `0.4 s`, `63 s`, `20 min 35 s`, `3 h 05 min`, `2 d 04 h`. */
export function duration(s: number): string {
  if (!(s >= 0)) return "–";
  if (s < 120) return `${short(s)} s`;
  const rounded = Math.round(s);
  if (rounded < 3600) return `${Math.floor(rounded / 60)} min ${pad(rounded % 60)} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
  const hours = Math.round(s / 3600);
  return `${Math.floor(hours / 24)} d ${pad(hours % 24)} h`;
}

function pad(n: number): string {
  return String(n).padStart(2, "0");
}

export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let rest = n;
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${short(rest)} ${units[unit]}`;
}

/** `1 task`, `2 tasks`. */
export function plural(n: number, word: string): string {
  return `${whole(n)} ${word}${n === 1 ? "" : "s"}`;
}

/** What one task asks for: `4 cores · 1 GPU · 2 GiB`, with `× 2 nodes` where it spans several. */
export function resources(card: Pick<SetCard, "cores" | "gpus" | "memory" | "nodes">): string {
  const parts = [plural(card.cores, "core")];
  if (card.gpus > 0) parts.push(plural(card.gpus, "GPU"));
  if (card.memory > 0) parts.push(bytes(card.memory));
  const one = parts.join(" · ");
  return card.nodes > 1 ? `${plural(card.nodes, "node")} × (${one})` : one;
}

/** TX: measured when there is a measurement, else declared, else a question. */
export function execution(card: Pick<SetCard, "estimate">, mean: number | null): string {
  if (mean !== null) return `⌀ ${duration(mean)}`;
  return card.estimate === null ? "TX ?" : `~ ${duration(card.estimate)}`;
}

export type RateUnit = "s" | "min" | "h";

/** The unit of all rates of a graph: one for all, so that cards can be compared, and the one that suits the fastest. */
export function rateUnit(perSecond: Iterable<number | null>): RateUnit {
  let most = 0;
  for (const rate of perSecond) most = Math.max(most, rate ?? 0);
  return most >= 10 ? "s" : most * 60 >= 1 || most === 0 ? "min" : "h";
}

/** Finished tasks per unit of time. */
export function throughput(perSecond: number | null, unit: RateUnit): string {
  if (perSecond === null || !(perSecond > 0)) return "";
  return `${short(perSecond * { s: 1, min: 60, h: 3600 }[unit])}/${unit}`;
}

/** A card in one sentence, for assistive technology and the tooltip. */
export function describe(
  card: SetCard,
  status: SetStatus,
  before: readonly string[],
  after: readonly string[],
): string {
  const n = total(status.counts);
  const what = card.kind === "group" ? `${plural(card.sets, "task set")}, ` : "";
  const states = present(status.counts).map((share) => `${whole(share.count)} ${LOOKS[share.state].label}`);
  const parts = [
    `${card.name}: ${what}${plural(n, "task")}${states.length > 0 ? `, ${states.join(", ")}` : ""}`,
    `each ${resources(card)}`,
  ];
  if (before.length > 0) parts.push(`after ${before.join(", ")}`);
  if (after.length > 0) parts.push(`before ${after.join(", ")}`);
  return parts.join("; ");
}
