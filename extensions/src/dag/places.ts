/** Positions over the life of a graph: laid out once, then only added to. Pure. */
import { type Direction, arrange, place } from "../layout";
import { type Graph, type Positions } from "../protocol";

export interface Places {
  readonly positions: Positions;
  readonly direction: Direction;
}

/** The same object when every set has its place; positions of removed sets are kept, in case they come back. */
export function updatePlaces(graph: Graph, places: Places): Places {
  if (graph.sets.every((s) => places.positions[s.id])) return places;
  if (!graph.sets.some((s) => places.positions[s.id])) return tidyPlaces(graph);
  return { ...places, positions: place(graph, places.positions, places.direction) };
}

export function tidyPlaces(graph: Graph): Places {
  return arrange(graph);
}
