/** A map of the graph, while part of the graph is out of sight: where all of it can be seen, a map only covers cards. */
import { MiniMap, useStore } from "@xyflow/react";
import { bounds } from "../layout";
import { type Positions } from "../protocol";
import { mood } from "../states";
import { type CampaignStore } from "../store";
import { type CardNode } from "./SetCard";

/** Whether a box in the graph's coordinates reaches beyond the space in which it is shown. */
export function reachesOut(
  box: { x: number; y: number; width: number; height: number },
  [x, y, zoom]: readonly [number, number, number],
  space: { width: number; height: number },
): boolean {
  const [left, top] = [box.x * zoom + x, box.y * zoom + y];
  return left < 0 || top < 0 || left + box.width * zoom > space.width || top + box.height * zoom > space.height;
}

export function Overview({ store, shown }: { store: CampaignStore; shown: Positions }) {
  const box = bounds(shown);
  const out = useStore((s) => reachesOut(box, s.transform, { width: s.width, height: s.height }));
  if (!out) return null;
  return (
    <MiniMap<CardNode>
      pannable
      position="bottom-right"
      ariaLabel="Map of the graph"
      nodeBorderRadius={12}
      nodeClassName={(node) => `wb-map-${mood(store.row(node.id).counts)}`}
      style={{ width: 150, height: 84 }}
    />
  );
}
