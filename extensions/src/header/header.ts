/** The line above the views: what the campaign is, how far it is, when it should end. Plain DOM, texts only. */
import baseCss from "../base.css";
import { duration, whole } from "../format";
import { type Head, parseHead } from "../protocol";
import { LOOKS, count, ended, present, total } from "../states";
import { STALE_AFTER_MS } from "../store";
import { type RenderProps, complaint, element, frame, glyph, onMessage, onTrait } from "../widget";
import headerCss from "./header.css";

/** A label over a value, as in a table of one column. */
function fact(label: string, value: string): HTMLElement {
  const box = element("div", "wb-fact");
  box.append(element("span", "wb-label", label), element("span", "wb-value", value));
  return box;
}

/** The median of the forecast, and the band in which the finish is expected in four cases of five. */
function predicted(head: Head): HTMLElement {
  const box = fact("predicted makespan", head.predicted === null ? "–" : duration(head.predicted));
  if (head.band !== null) {
    const [low, high] = head.band.map(duration);
    box.append(element("span", "wb-band", `P10–P90 ${low} – ${high}`));
    box.title = `Half of the sampled futures end before the first figure, four in five between ${low} and ${high}.`;
  }
  return box;
}

/** What policy auto chose, and why; what it could have chosen is in the tooltip, and the best of that in the line. */
function choice(head: Head): HTMLElement {
  const line = element("div", "wb-told");
  line.append(element("strong", "", `auto chose ${head.plan}`));
  if (head.why) line.append(document.createTextNode(`: ${head.why}`));
  const next = head.others[0];
  if (next) {
    line.append(element("span", "wb-next", `next best: ${next[0]}, ${duration(next[1])}`));
    line.title = `Other plans, as predicted:\n${head.others.map(([name, s]) => `${name}  ${duration(s)}`).join("\n")}`;
  }
  return line;
}

/** How good forecasts were. */
function scored(head: Head): HTMLElement {
  const line = element("div", "wb-told wb-scored", head.scored);
  line.title = head.terms;
  return line;
}

function facts(head: Head): HTMLElement[] {
  const n = total(head.counts);
  const found = [
    fact("tasks ended", `${whole(ended(head.counts))} of ${whole(n)}`),
    fact("task sets", whole(head.sets)),
  ];
  const ran = head.state.startsWith("finished") ? "makespan" : "elapsed";
  found.push(fact(ran, head.elapsed === null ? "–" : duration(head.elapsed)));
  found.push(predicted(head));
  if (head.bound !== null) found.push(fact("lower bound", duration(head.bound)));
  return found;
}

/** How the campaign stands, for the colour of the chip that says so. */
function standing(head: Head): string {
  if (count(head.counts, "failed") > 0) return "failed";
  const n = total(head.counts);
  if (n > 0 && ended(head.counts) === n) return "done";
  return head.phase === "live" ? "running" : "waiting";
}

/** Draws a header into an empty element. */
export function drawHead(into: HTMLElement, head: Head, silentS: number | null): void {
  const title = element("div", "wb-head");
  if (silentS !== null) {
    const badge = element("span", "wb-stale", `STALE · ${duration(silentS)} old`);
    badge.setAttribute("role", "status");
    title.append(badge);
  }
  const name = element("span", "wb-campaign", head.name);
  name.title = head.name;
  title.append(name, element("span", `wb-chip wb-standing-${standing(head)}`, head.state));
  title.append(element("span", "wb-chip", `${head.mode} mode`), element("span", "wb-chip", `${head.policy} policy`));
  const numbers = element("div", "wb-facts");
  numbers.append(...facts(head));
  const bar = element("div", "wb-bar");
  const legend = element("div", "wb-legend");
  for (const { state, count } of present(head.counts)) {
    const part = element("span", `wb-s-${state}`);
    part.style.flex = `${count} ${count} 0`;
    bar.append(part);
    const tally = element("span", `wb-tally wb-tally-${state}`);
    const mark = glyph(LOOKS[state].glyph);
    mark.classList.add(`wb-c-${state}`);
    tally.append(mark, document.createTextNode(`${whole(count)} ${LOOKS[state].label}`));
    legend.append(tally);
  }
  const trouble = element("div", "wb-trouble", head.trouble);
  const told = [...(head.plan ? [choice(head)] : []), ...(head.scored ? [scored(head)] : [])];
  into.replaceChildren(title, numbers, ...told, bar, legend, trouble);
}

export function mountHeader({ model, el }: RenderProps): () => void {
  const { root, release } = frame(el, `${baseCss}\n${headerCss}`, "wb-header");
  let heard = performance.now();
  let shown: number | null = null;
  let head: Head | null = null;
  const draw = (): void => {
    if (!head) return;
    const silent = performance.now() - heard;
    shown = head.phase === "live" && silent > STALE_AFTER_MS ? Math.floor(silent / 1000) : null;
    drawHead(root, head, shown);
  };
  const take = (value: unknown): void => {
    heard = performance.now();
    try {
      head = parseHead(value);
      draw();
    } catch (error) {
      root.replaceChildren(element("div", "wb-trouble", `The view could not read an update: ${complaint(error)}`));
    }
  };
  take(model.get("head"));
  const timer = setInterval(() => {
    if (performance.now() - heard > STALE_AFTER_MS || shown !== null) draw();
  }, 1000);
  const stopTrait = onTrait(model, "head", take);
  const stopMessages = onMessage(model, () => {
    heard = performance.now();
  });
  return () => {
    clearInterval(timer);
    stopTrait();
    stopMessages();
    release();
  };
}
