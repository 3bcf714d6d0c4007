/** Glyphs, bars and tallies of states, as React elements. */
import { type Counts, type StateName } from "../protocol";
import { whole } from "../format";
import { LOOKS, type Share, present } from "../states";

export function Glyph({ state }: { state: StateName }) {
  return (
    <svg viewBox="0 0 12 12" className={`wb-glyph wb-c-${state}`} aria-hidden="true">
      <path d={LOOKS[state].glyph} />
    </svg>
  );
}

/** How the tasks of a set are shared out between states. */
export function Bar({ counts }: { counts: Counts }) {
  return (
    <div className="wb-bar" aria-hidden="true">
      {present(counts).map(({ state, count }) => (
        <span key={state} className={`wb-s-${state}`} style={{ flex: `${count} ${count} 0` }} />
      ))}
    </div>
  );
}

export function Tally({ share, labelled = false }: { share: Share; labelled?: boolean }) {
  return (
    <span className={`wb-tally wb-tally-${share.state}`} title={LOOKS[share.state].label}>
      <Glyph state={share.state} />
      {whole(share.count)}
      {labelled ? ` ${LOOKS[share.state].label}` : ""}
    </span>
  );
}
