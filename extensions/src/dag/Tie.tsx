/** An edge between two sets: right-angled, and led between the cards where it runs back to a lower band. */
import { BaseEdge, type Edge, type EdgeProps, getSmoothStepPath } from "@xyflow/react";

export type TieEdge = Edge<{ turn: number | null }, "tie">;

export function Tie(props: EdgeProps<TieEdge>) {
  const { sourceX, sourceY, sourcePosition, targetX, targetY, targetPosition, data } = props;
  const turn = data?.turn ?? null;
  const [path, labelX, labelY] = getSmoothStepPath({
    ...{ sourceX, sourceY, sourcePosition, targetX, targetY, targetPosition },
    borderRadius: 6,
    ...(turn === null ? {} : { centerY: turn }),
  });
  const { id, label, labelBgPadding, labelBgBorderRadius, markerEnd } = props;
  return (
    <BaseEdge
      id={id}
      path={path}
      labelX={labelX}
      labelY={labelY}
      {...(markerEnd === undefined ? {} : { markerEnd })}
      {...(label === undefined ? {} : { label })}
      {...(labelBgPadding === undefined ? {} : { labelBgPadding })}
      {...(labelBgBorderRadius === undefined ? {} : { labelBgBorderRadius })}
    />
  );
}
