/** The graph: React Flow's wiring, focus, selection, fitting. Positions come from `layout` and never from here. */
import {
  Background,
  BackgroundVariant,
  Controls,
  ControlButton,
  Panel,
  ReactFlow,
  ReactFlowProvider,
  useReactFlow,
} from "@xyflow/react";
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { bounds, CARD, inOrder, neighbour, zoomToFit } from "../layout";
import { type Positions } from "../protocol";
import { type CampaignStore } from "../store";
import { news } from "./announce";
import { Board, type BoardState } from "./board";
import { Details } from "./Details";
import { ties, toEdges, toNodes } from "./elements";
import { commandFor, help } from "./keyboard";
import { Overview } from "./Overview";
import { StaleBadge } from "./StaleBadge";
import { type CardNode, SetCard } from "./SetCard";
import { Tie } from "./Tie";
import { type Places, tidyPlaces, updatePlaces } from "./places";

const NODE_TYPES = { set: SetCard };
const EDGE_TYPES = { tie: Tie };
/** The graph stays clear of the buttons above it. */
const MARGIN = { top: 44, side: 18, bottom: 18 } as const;
const FIT = {
  padding: { top: `${MARGIN.top}px`, x: `${MARGIN.side}px`, bottom: `${MARGIN.bottom}px` },
  maxZoom: 1,
  minZoom: 0.1,
} as const;
const HEIGHT = { least: 180, most: 540 } as const;

interface Props {
  readonly store: CampaignStore;
  readonly known: Positions;
  readonly save: (positions: Positions, direction: string) => void;
  readonly direction: string;
}

/** Height in which the graph can be read at the width that it was given. */
export function heightFor(positions: Positions, width: number): number {
  const box = bounds(positions);
  const around = MARGIN.top + MARGIN.bottom;
  const zoom = zoomToFit(box, { width, height: HEIGHT.most - around + 2 * MARGIN.side }, MARGIN.side);
  return Math.round(Math.min(HEIGHT.most, Math.max(HEIGHT.least, box.height * zoom + around + 4)));
}

function Flow({ store, known, save, direction }: Props) {
  const flow = useReactFlow<CardNode>();
  const graph = useSyncExternalStore(
    useCallback((f) => store.subscribe("graph", f), [store]),
    () => store.graph,
  );
  const [places, setPlaces] = useState<Places>({ positions: known, direction: direction === "TB" ? "TB" : "LR" });
  const [selected, select] = useState<string | null>(null);
  const [hovered, hover] = useState<string | null>(null);
  const [focus, setFocus] = useState<string | null>(null);
  const [said, say] = useState("");
  const box = useRef<HTMLDivElement>(null);
  const cards = useRef(new Map<string, HTMLElement>());
  const moved = useRef(false);

  const current = useMemo(() => updatePlaces(graph, places), [graph, places]);
  useEffect(() => {
    if (current === places) return;
    setPlaces(current);
    save(current.positions, current.direction);
  }, [current, places, save]);

  const order = useMemo(() => inOrder(graph), [graph]);
  const shown = useMemo(
    () =>
      Object.fromEntries(graph.sets.flatMap((s) => (current.positions[s.id] ? [[s.id, current.positions[s.id]]] : []))),
    [graph, current],
  ) as Positions;
  const nodes = useMemo(() => toNodes(graph, current.positions, current.direction), [graph, current]);
  const near = hovered ?? selected;
  const edges = useMemo(() => toEdges(graph, current.positions, current.direction, near), [graph, current, near]);
  const tied = useMemo(() => ties(graph), [graph]);

  const refit = useCallback(() => {
    if (!box.current) return;
    const { width } = box.current.getBoundingClientRect();
    if (width === 0) return;
    if (!box.current.style.height) box.current.style.setProperty("--wb-height", `${heightFor(shown, width)}px`);
    // Two frames: React Flow measures its container in an observer after the height has changed.
    requestAnimationFrame(() => requestAnimationFrame(() => void flow.fitView(FIT)));
  }, [flow, shown]);

  useEffect(() => {
    if (!moved.current) refit();
  }, [refit]);

  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    let last = "";
    const observer = new ResizeObserver(([entry]) => {
      const size = `${Math.round(entry?.contentRect.width ?? 0)}x${Math.round(entry?.contentRect.height ?? 0)}`;
      if (size !== last && !moved.current) refit();
      last = size;
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [refit]);

  useEffect(() => {
    const old = new Map(graph.sets.map((card) => [card.id, store.row(card.id)]));
    return store.subscribe("rows", () => {
      const sentences = graph.sets.flatMap((card) => {
        const before = old.get(card.id);
        const now = store.row(card.id);
        old.set(card.id, now);
        const sentence = before && before !== now ? news(card, before.counts, now.counts) : "";
        return sentence ? [sentence] : [];
      });
      if (sentences.length > 0) say(sentences.slice(0, 4).join(". "));
    });
  }, [graph, store]);

  const board = useMemo<BoardState>(
    () => ({
      store,
      focusable: focus !== null && shown[focus] ? focus : (order[0] ?? null),
      selected,
      select,
      hover,
      focused: setFocus,
      register: (id, element) => void (element ? cards.current.set(id, element) : cards.current.delete(id)),
    }),
    [store, focus, shown, order, selected],
  );

  const go = (id: string | null | undefined): void => {
    if (!id) return;
    setFocus(id);
    cards.current.get(id)?.focus({ preventScroll: true });
    const at = shown[id];
    const size = box.current?.getBoundingClientRect();
    if (!at || !size) return;
    const { x, y, zoom } = flow.getViewport();
    const left = at[0] * zoom + x;
    const top = at[1] * zoom + y;
    if (left >= 0 && top >= 0 && left + CARD.width * zoom <= size.width && top + CARD.height * zoom <= size.height)
      return;
    moved.current = true;
    void flow.setCenter(at[0] + CARD.width / 2, at[1] + CARD.height / 2, { zoom });
  };

  const tidy = (): void => {
    const fresh = tidyPlaces(graph);
    setPlaces(fresh);
    save(fresh.positions, fresh.direction);
    moved.current = false;
  };

  const fit = (): void => {
    moved.current = false;
    box.current?.style.removeProperty("height");
    refit();
  };

  const onKeyDown = (event: React.KeyboardEvent): void => {
    if ((event.target as HTMLElement).closest("button")) return;
    const command = commandFor(event);
    if (!command) return;
    const here = focus !== null && shown[focus] ? focus : (order[0] ?? "");
    switch (command.do) {
      case "step":
        go(neighbour(shown, here, command.step));
        break;
      case "first":
        go(order[0]);
        break;
      case "last":
        go(order[order.length - 1]);
        break;
      case "select":
        select(selected === here ? null : here);
        break;
      case "clear":
        select(null);
        break;
      case "fit":
        fit();
        break;
      case "tidy":
        tidy();
        break;
      case "in":
      case "out":
        moved.current = true;
        void (command.do === "in" ? flow.zoomIn() : flow.zoomOut());
    }
    event.preventDefault();
    event.stopPropagation();
  };

  const chosen = graph.sets.find((card) => card.id === selected);
  return (
    <Board.Provider value={board}>
      <div className={`wb-flow${near !== null ? " wb-pointing" : ""}`} ref={box} onKeyDown={onKeyDown}>
        <ReactFlow<CardNode>
          nodes={nodes}
          edges={edges}
          nodeTypes={NODE_TYPES}
          edgeTypes={EDGE_TYPES}
          aria-label={`Task graph, ${graph.sets.length} task sets. Keys: ${help()}`}
          nodesDraggable={false}
          nodesConnectable={false}
          nodesFocusable={false}
          edgesFocusable={false}
          elementsSelectable={false}
          deleteKeyCode={null}
          selectionKeyCode={null}
          multiSelectionKeyCode={null}
          // The wheel scrolls the notebook; with Ctrl or Cmd it zooms the graph.
          zoomOnScroll={false}
          preventScrolling={false}
          zoomActivationKeyCode={["Control", "Meta"]}
          zoomOnDoubleClick={false}
          autoPanOnNodeFocus={false}
          minZoom={0.1}
          maxZoom={1.6}
          onlyRenderVisibleElements={graph.sets.length > 120}
          proOptions={{ hideAttribution: true }}
          onMove={(event, view) => {
            // By a person, and not only a click: from now on the graph stays where it was put.
            if (event) moved.current = true;
            box.current?.style.setProperty("--wb-zoom", String(view.zoom));
          }}
          onPaneClick={() => select(null)}
        >
          <Background variant={BackgroundVariant.Dots} gap={22} size={1} color="var(--wb-dots)" />
          <Controls showInteractive={false} showFitView={false} position="top-right" orientation="horizontal">
            <ControlButton onClick={fit} title="Fit the graph (f)" aria-label="Fit the graph">
              <svg viewBox="0 0 12 12" className="wb-glyph">
                <path d="M1.5 4 V1.5 H4 M8 1.5 H10.5 V4 M10.5 8 V10.5 H8 M4 10.5 H1.5 V8" />
              </svg>
            </ControlButton>
            <ControlButton onClick={tidy} title="Lay the graph out anew (t)" aria-label="Lay the graph out anew">
              <svg viewBox="0 0 12 12" className="wb-glyph">
                <path d="M1.5 4.5 H4 V7.5 H1.5 Z M8 1.5 H10.5 V4.5 H8 Z M8 7.5 H10.5 V10.5 H8 Z M4 6 H6 M6 3 V9 M6 3 H8 M6 9 H8" />
              </svg>
            </ControlButton>
          </Controls>
          <Overview store={store} shown={shown} />
          <Panel position="top-left" className="wb-panel">
            <StaleBadge store={store} />
            {graph.note && <span className="wb-note">{graph.note}</span>}
          </Panel>
          {chosen && (
            <Panel position="bottom-left" className="wb-panel">
              <Details
                store={store}
                card={chosen}
                before={tied.before.get(chosen.id) ?? []}
                after={tied.after.get(chosen.id) ?? []}
                close={() => select(null)}
              />
            </Panel>
          )}
        </ReactFlow>
        {graph.sets.length === 0 && <div className="wb-empty">No task sets are declared yet.</div>}
        <div className="wb-aloud" aria-live="polite">
          {said}
        </div>
      </div>
    </Board.Provider>
  );
}

export function Dag(props: Props) {
  return (
    <ReactFlowProvider>
      <Flow {...props} />
    </ReactFlowProvider>
  );
}
