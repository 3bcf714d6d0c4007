/** Graph to React Flow's nodes and edges. Pure; called when the topology or the focus of attention changes. */
import { type Edge, MarkerType } from "@xyflow/react";
import { type Direction, CARD, freeHeight } from "../layout";
import { type Graph, type Positions } from "../protocol";
import { type CardNode } from "./SetCard";

export interface Ties {
  readonly before: ReadonlyMap<string, readonly string[]>;
  readonly after: ReadonlyMap<string, readonly string[]>;
}

/** Neighbours of each set, by name. */
export function ties(graph: Graph): Ties {
  const name = new Map(graph.sets.map((s) => [s.id, s.name]));
  const before = new Map<string, string[]>();
  const after = new Map<string, string[]>();
  const add = (to: Map<string, string[]>, key: string, id: string): void => {
    to.set(key, [...(to.get(key) ?? []), name.get(id) ?? id]);
  };
  for (const { src, dst } of graph.edges) {
    add(before, dst, src);
    add(after, src, dst);
  }
  return { before, after };
}

export function toNodes(graph: Graph, positions: Positions, direction: Direction): CardNode[] {
  const { before, after } = ties(graph);
  return graph.sets.map((card) => {
    const [x, y] = positions[card.id] ?? [0, 0];
    return {
      id: card.id,
      type: "set",
      position: { x, y },
      width: CARD.width,
      height: CARD.height,
      data: { card, direction, before: before.get(card.id) ?? [], after: after.get(card.id) ?? [] },
    };
  });
}

/** Where an edge that leads back to the start of a lower band crosses over; null for all others. */
function turnOf(positions: Positions, direction: Direction, src: string, dst: string): number | null {
  const [from, to] = [positions[src], positions[dst]];
  if (direction !== "LR" || !from || !to || to[0] > from[0]) return null;
  return freeHeight(positions, from[1] + CARD.height / 2, to[1] + CARD.height / 2);
}

/** Edges; those of the card `near` stand out and the others step back. */
export function toEdges(graph: Graph, positions: Positions, direction: Direction, near: string | null): Edge[] {
  return graph.edges.map(({ src, dst, kind, part }) => {
    const close = near !== null && (src === near || dst === near);
    const mark = close ? " wb-near" : near !== null ? " wb-far" : "";
    const pairs = kind === "each" ? ", the i-th task waits for the i-th" : part ? ", between single tasks" : "";
    return {
      id: `${kind}:${src}:${dst}`,
      source: src,
      target: dst,
      type: "tie",
      data: { turn: turnOf(positions, direction, src, dst) },
      className: `wb-edge wb-${kind}${part ? " wb-part" : ""}${mark}`,
      ariaLabel: `${dst} waits for ${src}${pairs}`,
      ...(kind === "each" ? { label: "1:1", labelBgPadding: [4, 2] as [number, number], labelBgBorderRadius: 4 } : {}),
      zIndex: close ? 1 : 0,
      markerEnd: { type: MarkerType.ArrowClosed, width: 14, height: 14, color: "var(--wb-arrow)" },
    };
  });
}
