/** Everything that is known of the selected set, in words. */
import { useCallback, useSyncExternalStore } from "react";
import { duration, plural, resources, throughput, whole } from "../format";
import { type SetCard } from "../protocol";
import { present, total } from "../states";
import { type CampaignStore } from "../store";
import { Tally } from "./glyphs";

interface Props {
  readonly store: CampaignStore;
  readonly card: SetCard;
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly close: () => void;
}

const KINDS: Readonly<Record<string, string>> = {
  function: "Python function",
  executable: "executable",
  mpi: "MPI program",
  synthetic: "synthetic",
};

/** A list of names that stays short. */
function names(all: readonly string[]): string {
  return all.length > 6 ? `${all.slice(0, 6).join(", ")} and ${all.length - 6} more` : all.join(", ");
}

export function Details({ store, card, before, after, close }: Props) {
  const subscribe = useCallback((f: () => void) => store.subscribe(`set:${card.id}`, f), [store, card.id]);
  const status = useSyncExternalStore(subscribe, () => store.row(card.id));
  const rows: [string, string][] = [
    ["kind", card.kind === "group" ? `${whole(card.sets)} task sets` : (KINDS[card.kind] ?? card.kind)],
    ["each task", card.kind === "group" ? `at most ${resources(card)}` : resources(card)],
    ["TX declared", card.estimate === null ? "learned while running" : duration(card.estimate)],
    ["TX measured", status.mean === null ? "–" : duration(status.mean)],
    ["rate", throughput(status.rate, store.unit) || "–"],
    ["after", names(before) || "–"],
    ["before", names(after) || "–"],
  ];
  return (
    <section className="wb-details" aria-label={`Details of ${card.name}`}>
      <header>
        <strong>{card.name}</strong>
        <span>{plural(total(status.counts), "task")}</span>
        <button type="button" onClick={close} aria-label="Close the details" title="Close">
          ×
        </button>
      </header>
      <div className="wb-all">
        {present(status.counts).map((share) => (
          <Tally key={share.state} share={share} labelled />
        ))}
      </div>
      <dl>
        {rows.map(([term, value]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
