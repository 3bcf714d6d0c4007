/**
 * Where cards lie. Pure and deterministic: the same graph gives the same picture in every tab.
 *
 * `arrange` is for the first sight of a graph and for the button that tidies up. From then on cards never move:
 * `place` finds room for new ones and leaves the others where they are. Flow runs from left to right or from top to
 * bottom; a long graph that runs from left to right is folded into bands like lines of text, because a notebook cell is
 * wide, not endless.
 */
import dagre from "@dagrejs/dagre";
import { type EdgeRow, type Graph, type Positions } from "./protocol";

export type Direction = "LR" | "TB";

export interface Arrangement {
  readonly direction: Direction;
  readonly positions: Positions;
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export const CARD = { width: 216, height: 104 } as const;
const GAP = { along: 64, across: 28, band: 60 } as const;
/** Flow is folded, and new cards start a new band, beyond this width: about 0.6 of full size in a notebook cell. */
const WIDE = 1500;
/** The space that a first picture aims at, in pixels. */
const AIM = { width: 940, height: 500 } as const;
const MOST_BANDS = 6;
/** How much of its size a picture may lose to have one tie less drawn across a card. */
const PLAIN = 0.95;
/** What a tie that runs back counts, in cards that one is drawn across, and at which length any tie counts one. */
const BACK = 1.2;
const FAR = 3000;
/** Steps to either side that are looked at for a single card. */
const MOST_SHIFTS = 6;
/** Places that are looked at for a block. */
const MOST_PLACES = 400;
/** From this many new sets on they are laid out together. */
const BLOCK = 3;

type Mutable = Record<string, [number, number]>;

/** The smallest box around all cards. */
export function bounds(positions: Positions): Box {
  const all = Object.values(positions);
  if (all.length === 0) return { x: 0, y: 0, width: CARD.width, height: CARD.height };
  const x = Math.min(...all.map((p) => p[0]));
  const y = Math.min(...all.map((p) => p[1]));
  const right = Math.max(...all.map((p) => p[0])) + CARD.width;
  const bottom = Math.max(...all.map((p) => p[1])) + CARD.height;
  return { x, y, width: right - x, height: bottom - y };
}

/** Zoom, at most 1, at which a box fits the space. */
export function zoomToFit(box: Box, space: { width: number; height: number }, margin = 24): number {
  return Math.min(1, (space.width - 2 * margin) / box.width, (space.height - 2 * margin) / box.height);
}

/** The whole graph anew, in the direction and folding that is read best at the width of a notebook cell. */
export function arrange(graph: Graph): Arrangement {
  const level = layered(graph, "LR");
  const candidates: { score: number; result: Arrangement }[] = [
    { score: zoomToFit(bounds(level), AIM), result: { direction: "LR", positions: level } },
  ];
  for (let bands = 2; bands <= MOST_BANDS; bands += 1) {
    const folded = fold(graph, level, bands);
    if (!folded) break;
    // A fold has to show the cards clearly larger, and to cut few edges.
    const score = 0.85 * zoomToFit(bounds(folded.positions), AIM) * 0.97 ** bands * 0.98 ** folded.crossing;
    candidates.push({ score, result: { direction: "LR", positions: folded.positions } });
  }
  const upright = layered(graph, "TB");
  // Reading goes from left to right: the upright picture has to be clearly larger to win.
  const score = zoomToFit(bounds(upright), AIM) * 0.8;
  candidates.push({ score, result: { direction: "TB", positions: upright } });
  return candidates.reduce((best, next) => (next.score > best.score + 1e-9 ? next : best)).result;
}

function layered(graph: Graph, direction: Direction): Positions {
  const g = new dagre.graphlib.Graph();
  const along = direction === "LR" ? GAP.along : 44;
  g.setGraph({ rankdir: direction, nodesep: GAP.across, ranksep: along, marginx: 0, marginy: 0 });
  g.setDefaultEdgeLabel(() => ({}));
  for (const set of graph.sets) g.setNode(set.id, { ...CARD });
  for (const edge of graph.edges) g.setEdge(edge.src, edge.dst);
  dagre.layout(g);
  const positions: Mutable = {};
  for (const set of graph.sets) {
    const { x, y } = g.node(set.id);
    positions[set.id] = [Math.round(x - CARD.width / 2), Math.round(y - CARD.height / 2)];
  }
  return positions;
}

/** Cuts a left-to-right picture into bands where few edges cross; null when it has fewer columns than bands. */
function fold(graph: Graph, level: Positions, bands: number): { positions: Positions; crossing: number } | null {
  const columns = [...new Set(Object.values(level).map((p) => p[0]))].sort((a, b) => a - b);
  if (columns.length < bands * 2) return null;
  const column = (id: string): number => columns.indexOf(level[id]?.[0] ?? 0);
  const crossingAt = (cut: number): number =>
    graph.edges.filter((e) => column(e.src) < cut && column(e.dst) >= cut).length;
  const cuts: number[] = [];
  let crossing = 0;
  for (let i = 1; i < bands; i += 1) {
    const ideal = Math.round((i * columns.length) / bands);
    const near = [ideal, ideal - 1, ideal + 1].filter(
      (cut) => cut > (cuts[cuts.length - 1] ?? 0) && cut < columns.length,
    );
    if (near.length === 0) return null;
    const cut = near.reduce((best, next) => (crossingAt(next) < crossingAt(best) ? next : best));
    cuts.push(cut);
    crossing += crossingAt(cut);
  }
  const positions: Mutable = {};
  let top = 0;
  for (let band = 0; band < bands; band += 1) {
    const first = cuts[band - 1] ?? 0;
    const last = cuts[band] ?? columns.length;
    const members = Object.entries(level).filter(([id]) => column(id) >= first && column(id) < last);
    const highest = Math.min(...members.map(([, p]) => p[1]));
    for (const [id, [x, y]] of members) positions[id] = [x - (columns[first] ?? 0), y - highest + top];
    top += bounds(Object.fromEntries(members)).height + GAP.band;
  }
  return { positions, crossing };
}

/**
 * Room for the sets that have no position yet, clear of everything else. Cards that have one keep it. Several new ones,
 * such as the next round of a loop, stay together as a block; a single one comes after what it depends on.
 */
export function place(graph: Graph, known: Positions, direction: Direction): Positions {
  const positions: Mutable = {};
  for (const [id, at] of Object.entries(known)) positions[id] = [at[0], at[1]];
  const fresh = new Set(graph.sets.flatMap((s) => (positions[s.id] ? [] : [s.id])));
  if (fresh.size >= BLOCK && fresh.size < graph.sets.length && Object.keys(positions).length > 0) {
    const sets = graph.sets.filter((s) => fresh.has(s.id));
    const edges = graph.edges.filter((e) => fresh.has(e.src) && fresh.has(e.dst));
    const block = layered({ ...graph, sets, edges }, direction);
    const from = bounds(block);
    const ties = graph.edges.filter((e) => fresh.has(e.src) !== fresh.has(e.dst));
    const at = (x: number, y: number): Positions =>
      Object.fromEntries(Object.entries(block).map(([id, p]) => [id, [p[0] - from.x + x, p[1] - from.y + y]]));
    const [x, y] = freeBlock(positions, from, (x, y) => tangle({ ...positions, ...at(x, y) }, ties, direction));
    for (const [id, at] of Object.entries(block)) positions[id] = [at[0] - from.x + x, at[1] - from.y + y];
    return positions;
  }
  const before = new Map<string, string[]>();
  for (const edge of graph.edges) before.set(edge.dst, [...(before.get(edge.dst) ?? []), edge.src]);
  for (const id of inOrder(graph)) {
    if (positions[id]) continue;
    const inputs = (before.get(id) ?? []).flatMap((src) => (positions[src] ? [positions[src]] : []));
    const ties = graph.edges.filter((e) => e.src === id || e.dst === id);
    const cost = (at: [number, number]): number => tangle({ ...positions, [id]: at }, ties, direction);
    const begin = start(positions, inputs, direction);
    positions[id] = begin ? freeSpot(positions, begin, direction, cost) : newBand(positions, cost);
  }
  return positions;
}

/** Where a single card is looked for first; null where the picture would grow too wide, and a new band begins. */
function start(
  positions: Positions,
  inputs: readonly [number, number][],
  direction: Direction,
): [number, number] | null {
  const box = bounds(positions);
  if (Object.keys(positions).length === 0) return [0, 0];
  if (inputs.length === 0) {
    return direction === "LR" ? [box.x, box.y + box.height + GAP.across] : [box.x + box.width + GAP.across, box.y];
  }
  const mean = (axis: 0 | 1): number => Math.round(inputs.reduce((sum, p) => sum + p[axis], 0) / inputs.length);
  if (direction === "TB") return [mean(0), Math.max(...inputs.map((p) => p[1])) + CARD.height + 44];
  const x = Math.max(...inputs.map((p) => p[0])) + CARD.width + GAP.along;
  if (x + CARD.width - box.x > widest(box)) return null;
  return [x, mean(1)];
}

/**
 * Where a block of this size leaves the whole picture large and its ties plain; of several such places, the first in
 * reading order. `cost` says how tangled the picture is with the block at a place.
 */
function freeBlock(
  positions: Positions,
  { width, height }: Box,
  cost: (x: number, y: number) => number = () => 0,
): [number, number] {
  const box = bounds(positions);
  const taken = Object.values(positions);
  const under = box.y + box.height + GAP.band;
  const xs = [...new Set([box.x, ...taken.flatMap((p) => [p[0], p[0] + CARD.width + GAP.along])])].sort(
    (a, b) => a - b,
  );
  const ys = [...new Set([box.y, under, ...taken.map((p) => p[1] + CARD.height + GAP.across)])].sort((a, b) => a - b);
  const clear = (x: number, y: number): boolean =>
    taken.every(
      (p) =>
        p[0] >= x + width + GAP.across ||
        p[0] + CARD.width + GAP.across <= x ||
        p[1] >= y + height + GAP.across ||
        p[1] + CARD.height + GAP.across <= y,
    );
  const free = ys.flatMap((y) => xs.filter((x) => clear(x, y)).map((x) => ({ x, y, zoom: zoomWith(box, x, y) })));
  function zoomWith(box: Box, x: number, y: number): number {
    const right = Math.max(box.x + box.width, x + width);
    const bottom = Math.max(box.y + box.height, y + height);
    return Math.min(AIM.width / (right - box.x), AIM.height / (bottom - box.y));
  }
  const largest = free.sort((a, b) => b.zoom - a.zoom || a.y - b.y || a.x - b.x).slice(0, MOST_PLACES);
  let best: [number, number] = [box.x, under];
  let most = -Infinity;
  for (const { x, y, zoom } of largest) {
    if (zoom <= most) break; // the cost only takes away
    const score = zoom * PLAIN ** cost(x, y);
    if (score > most + 1e-9) [best, most] = [[x, y], score];
  }
  return best;
}

/** A picture that has grown tall may grow wider in turn: what counts is the size at which it fits the cell. */
function widest(box: Box): number {
  return Math.max(box.width, WIDE, (box.height * AIM.width) / AIM.height);
}

/** A place at the left edge, from where a band can go on. */
function newBand(positions: Positions, cost: (at: [number, number]) => number): [number, number] {
  const edge = bounds(positions).x;
  return freeBlock(positions, { x: 0, y: 0, ...CARD }, (x, y) => (x > edge ? Infinity : cost([x, y])));
}

/**
 * How tangled the ties are: 1 for each card that one is drawn across, a little more than that for one that runs back,
 * and a little for its length.
 */
export function tangle(positions: Positions, ties: readonly EdgeRow[], direction: Direction): number {
  const [along, across] = direction === "LR" ? [0, 1] : [1, 0];
  const [deep, broad] = direction === "LR" ? [CARD.width, CARD.height] : [CARD.height, CARD.width];
  let sum = 0;
  for (const { src, dst } of ties) {
    const [from, to] = [positions[src], positions[dst]];
    if (!from || !to) continue;
    const [a, b] = [from[along]! + deep, to[along]!];
    const [c, d] = [from[across]! + broad / 2, to[across]! + broad / 2];
    sum += (Math.abs(b - a) + Math.abs(d - c)) / FAR;
    if (b <= a) {
      sum += d < c ? 2 * BACK : BACK; // on to a lower band is how one reads, back to a higher one is not
      continue;
    }
    // As it is drawn: along, across half way, and along again.
    const middle = (a + b) / 2;
    const [low, high] = [Math.min(c, d), Math.max(c, d)];
    for (const [id, p] of Object.entries(positions)) {
      if (id === src || id === dst) continue;
      const [near, left] = [p[along]!, p[across]!];
      const within = (x: number): boolean => left < x && x < left + broad;
      const first = within(c) && near < middle && near + deep > a;
      const second = within(d) && near < b && near + deep > middle;
      const turn = near < middle && middle < near + deep && left < high && low < left + broad;
      if (first || second || turn) sum += 1;
    }
  }
  return sum;
}

/** A free place near by across the flow, tried alternately on both sides: the one with the plainest ties. */
function freeSpot(
  positions: Positions,
  [x, y]: [number, number],
  direction: Direction,
  cost: (at: [number, number]) => number,
): [number, number] {
  const taken = Object.values(positions);
  const step = direction === "LR" ? CARD.height + GAP.across : CARD.width + GAP.across;
  let best: [number, number] | null = null;
  let least = Infinity;
  for (let i = 0; best === null || i <= MOST_SHIFTS; i += 1) {
    const shift = (i % 2 === 1 ? 1 : -1) * Math.ceil(i / 2) * step;
    const spot: [number, number] = direction === "LR" ? [x, y + shift] : [x + shift, y];
    const clear = taken.every(
      (p) => Math.abs(p[0] - spot[0]) >= CARD.width + 8 || Math.abs(p[1] - spot[1]) >= CARD.height + 8,
    );
    if (!clear) continue;
    const worth = cost(spot) + i / 4;
    if (worth < least) [best, least] = [spot, worth];
  }
  return best;
}

/**
 * Ids so that each comes after its inputs; ties in the order of the graph. Tasks never wait in a circle, but sets may
 * (some tasks of one for some of another and the other way round): those come last.
 */
export function inOrder(graph: Graph): string[] {
  const open = new Map(graph.sets.map((s) => [s.id, 0]));
  const after = new Map<string, string[]>();
  for (const { src, dst } of graph.edges) {
    open.set(dst, (open.get(dst) ?? 0) + 1);
    after.set(src, [...(after.get(src) ?? []), dst]);
  }
  const order: string[] = [];
  const ready = graph.sets.filter((s) => open.get(s.id) === 0).map((s) => s.id);
  for (let id = ready.shift(); id !== undefined; id = ready.shift()) {
    order.push(id);
    for (const next of after.get(id) ?? []) {
      const left = (open.get(next) ?? 0) - 1;
      open.set(next, left);
      if (left === 0) ready.push(next);
    }
  }
  const sorted = new Set(order);
  return [...order, ...graph.sets.filter((s) => !sorted.has(s.id)).map((s) => s.id)];
}

/**
 * Height at which a line from one band of cards to another touches no card: the middle of the widest free strip between
 * the two; null when there is none.
 */
export function freeHeight(positions: Positions, from: number, to: number): number | null {
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  const taken = Object.values(positions)
    .map((p): [number, number] => [p[1], p[1] + CARD.height])
    .sort((a, b) => a[0] - b[0]);
  let best: number | null = null;
  let widest = 8;
  let free = low;
  for (const [top, bottom] of [...taken, [high, high] as [number, number]]) {
    const end = Math.min(top, high);
    if (end - free > widest) [best, widest] = [(end + free) / 2, end - free];
    free = Math.max(free, bottom);
  }
  return best;
}

export type Step = "left" | "right" | "up" | "down";

/** The card that an arrow key leads to: the nearest in that direction, sideways distance counting double. */
export function neighbour(positions: Positions, from: string, step: Step): string | null {
  const here = positions[from];
  if (!here) return null;
  let best: string | null = null;
  let least = Infinity;
  for (const [id, at] of Object.entries(positions)) {
    const dx = at[0] - here[0];
    const dy = at[1] - here[1];
    const [ahead, aside] = { left: [-dx, dy], right: [dx, dy], up: [-dy, dx], down: [dy, dx] }[step] as [
      number,
      number,
    ];
    if (id === from || ahead <= 0 || Math.abs(aside) > 3 * ahead) continue;
    const distance = ahead + 2 * Math.abs(aside);
    if (distance < least) [best, least] = [id, distance];
  }
  return best;
}
