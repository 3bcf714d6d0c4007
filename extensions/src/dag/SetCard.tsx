/** The card of one task set. It hears its own counts only, so that a change elsewhere does not draw it again. */
import { Handle, type Node, type NodeProps, Position, useStore } from "@xyflow/react";
import { type CSSProperties, memo, useCallback, useContext, useSyncExternalStore } from "react";
import { describe, execution, resources, throughput, whole } from "../format";
import { type Direction } from "../layout";
import { type SetCard as Card } from "../protocol";
import { type Share, count, mood, present, total } from "../states";
import { Board } from "./board";
import { Bar, Tally } from "./glyphs";

export type CardNode = Node<
  { card: Card; direction: Direction; before: readonly string[]; after: readonly string[] },
  "set"
>;

/** Three amounts of detail, so that what is shown can be read at any zoom. */
export type Detail = "full" | "compact" | "mini";

export function detailAt(zoom: number): Detail {
  return zoom >= 0.68 ? "full" : zoom >= 0.42 ? "compact" : "mini";
}

/** The colour of the set in both themes; the style sheet picks the one that is on. */
function swatch(card: Card): CSSProperties {
  return { "--wb-light": card.colors[0], "--wb-dark": card.colors[1] } as CSSProperties;
}

const MOST_TALLIES = 4;

/** The states worth a number when there is no room for all: trouble first, then work, in the order of the bar. */
function tallies(shares: readonly Share[]): Share[] {
  if (shares.length <= MOST_TALLIES) return [...shares];
  const urgent = ["failed", "held", "running", "done", "ready", "waiting"];
  const rank = (s: Share): number => (urgent.includes(s.state) ? urgent.indexOf(s.state) : urgent.length);
  const kept = new Set([...shares].sort((a, b) => rank(a) - rank(b)).slice(0, MOST_TALLIES));
  return shares.filter((s) => kept.has(s));
}

function SetCardView({ id, data }: NodeProps<CardNode>) {
  const board = useContext(Board);
  const subscribe = useCallback((f: () => void) => board.store.subscribe(`set:${id}`, f), [board.store, id]);
  const status = useSyncExternalStore(subscribe, () => board.store.row(id));
  const units = useCallback((f: () => void) => board.store.subscribe("unit", f), [board.store]);
  const unit = useSyncExternalStore(units, () => board.store.unit);
  const detail = useStore((s) => detailAt(s.transform[2]));
  const { card, direction, before, after } = data;
  const shares = present(status.counts);
  const n = total(status.counts);
  const alarm = (["failed", "held"] as const)
    .map((state) => ({ state, count: count(status.counts, state) }))
    .filter((share) => share.count > 0);
  const label = describe(card, status, before, after);
  const selected = board.selected === id;
  return (
    <div
      ref={(el) => board.register(id, el)}
      className={`wb-card wb-${detail} wb-m-${mood(status.counts)}${selected ? " wb-selected" : ""}`}
      role="button"
      tabIndex={board.focusable === id ? 0 : -1}
      aria-label={label}
      aria-pressed={selected}
      title={label}
      data-set={id}
      onFocus={() => board.focused(id)}
      onClick={() => board.select(selected ? null : id)}
      onMouseEnter={() => board.hover(id)}
      onMouseLeave={() => board.hover(null)}
    >
      <Handle type="target" position={direction === "LR" ? Position.Left : Position.Top} isConnectable={false} />
      <div className="wb-title">
        {card.colors[0] && <span className="wb-swatch" style={swatch(card)} aria-hidden="true" />}
        <span className="wb-name">{card.name}</span>
        {detail !== "full" && alarm.map((share) => <Tally key={share.state} share={share} />)}
        <span className="wb-n">× {whole(n)}</span>
      </div>
      <Bar counts={status.counts} />
      <div className="wb-tallies">
        {tallies(shares).map((share) => (
          <Tally key={share.state} share={share} />
        ))}
        <span className="wb-rate">{throughput(status.rate, unit)}</span>
      </div>
      <div className="wb-needs">
        <span className="wb-resources">{resources(card)}</span>
        <span className="wb-tx">{execution(card, status.mean)}</span>
      </div>
      <Handle type="source" position={direction === "LR" ? Position.Right : Position.Bottom} isConnectable={false} />
    </div>
  );
}

export const SetCard = memo(SetCardView);
