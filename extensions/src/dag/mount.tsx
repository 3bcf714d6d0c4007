/** Connects a model to a graph on the page. */
import flowCss from "@xyflow/react/dist/base.css";
import { createRoot } from "react-dom/client";
import baseCss from "../base.css";
import { type Positions, parseGraph, parseMessage, parsePositions, parseStatus } from "../protocol";
import { CampaignStore } from "../store";
import { type RenderProps, complaint, frame, onMessage, onTrait } from "../widget";
import { Dag } from "./Dag";
import dagCss from "./dag.css";

/** Runs a step on data from outside; what goes wrong is shown in the view instead of leaving it half updated. */
function guarded(store: CampaignStore, step: () => void): void {
  try {
    step();
  } catch (error) {
    store.applyMessage({ type: "trouble", text: `The view could not read an update: ${complaint(error)}` });
  }
}

export function mountDag({ model, el }: RenderProps): () => void {
  const { root, release } = frame(el, `${flowCss}\n${baseCss}\n${dagCss}`, "wb-dag");
  const store = new CampaignStore();
  const takeGraph = (value: unknown): void => guarded(store, () => store.applyGraph(parseGraph(value)));
  const takeStatus = (value: unknown, fresh: boolean): void =>
    guarded(store, () => store.applyStatus(parseStatus(value), fresh));
  takeGraph(model.get("graph"));
  takeStatus(model.get("status"), false);
  const releases = [
    release,
    onTrait(model, "graph", takeGraph),
    onTrait(model, "status", (value) => takeStatus(value, true)),
    onMessage(model, (content) =>
      guarded(store, () => {
        const message = parseMessage(content);
        if (message) store.applyMessage(message);
      }),
    ),
  ];
  const save = (positions: Positions, direction: string): void => {
    model.set("positions", positions);
    model.set("direction", direction);
    model.save_changes();
  };
  const react = createRoot(root);
  react.render(
    <Dag
      store={store}
      known={parsePositions(model.get("positions"))}
      direction={String(model.get("direction") ?? "LR")}
      save={save}
    />,
  );
  return () => {
    react.unmount();
    for (const stop of releases) stop();
  };
}
