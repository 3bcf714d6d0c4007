/** What to say aloud to people who do not see the graph: sets that ended or began to fail. Pure. */
import { type Counts, type SetCard } from "../protocol";
import { count, ended, total } from "../states";

export function news(card: SetCard, old: Counts, now: Counts): string {
  const n = total(now);
  const failed = count(now, "failed");
  if (n > 0 && ended(now) === n && ended(old) < total(old)) {
    return failed > 0 ? `${card.name} ended, ${failed} of ${n} failed` : `${card.name} ended`;
  }
  if (failed > 0 && count(old, "failed") === 0) return `${card.name}: first failed task`;
  return "";
}
