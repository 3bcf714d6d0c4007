/**
 * Live Bokeh figures. The document travels as a trait; changes travel as patches, numbered so that a view which opens
 * late or misses one knows it, keeps what it shows and takes the next whole document instead.
 */
import baseCss from "../base.css";
import { followTheme } from "../theme";
import { type Model, type RenderProps, complaint, element, frame, onMessage, onTrait } from "../widget";
import { type Bokeh, type BokehDocument, type ViewManager, bokehOf } from "./bokeh";
import { colorsOf, restyle } from "./restyle";
import plotCss from "./plot.css";

export interface Whole {
  /** Number of the last patch that the document contains. */
  readonly version: number;
  readonly json: string;
  /** Share of the width, in twelfths, for each root. */
  readonly spans: readonly number[];
}

export interface Patch {
  readonly version: number;
  readonly patch: unknown;
  /** Ids of the buffers, in their order. */
  readonly ids: readonly string[];
}

export function parseWhole(value: unknown): Whole | null {
  const raw = value as Partial<Whole> | null;
  if (!raw || typeof raw.version !== "number" || typeof raw.json !== "string" || !Array.isArray(raw.spans)) return null;
  return { version: raw.version, json: raw.json, spans: raw.spans };
}

export function parsePatch(content: unknown): Patch | null {
  const raw = content as (Partial<Patch> & { type?: unknown }) | null;
  if (!raw || raw.type !== "patch" || typeof raw.version !== "number" || !Array.isArray(raw.ids)) return null;
  return { version: raw.version, patch: raw.patch, ids: raw.ids };
}

function buffersOf(patch: Patch, views: readonly DataView[]): Map<string, ArrayBuffer> {
  return new Map(
    patch.ids.flatMap((id, i) => {
      const view = views[i];
      // A copy: typed arrays on it need aligned offsets.
      return view ? [[id, view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength) as ArrayBuffer]] : [];
    }),
  );
}

/** One place where figures are drawn. */
export class PlotBoard {
  private doc: BokehDocument | null = null;
  private views: ViewManager | null = null;
  private version = -1;
  private queue: { patch: Patch; buffers: Map<string, ArrayBuffer> }[] = [];
  private drawing = false;
  private waiting: Whole | null = null;
  private closed = false;

  constructor(
    private readonly root: HTMLElement,
    private readonly load: () => Promise<Bokeh>,
  ) {}

  /** Draws a whole document, unless what is shown is as new. */
  async show(whole: Whole): Promise<void> {
    if (whole.version <= this.version) return;
    if (this.doc && this.caughtUp(whole)) return;
    this.waiting = whole;
    if (this.drawing) return;
    this.drawing = true;
    try {
      while (this.waiting && !this.closed) {
        const next: Whole = this.waiting;
        this.waiting = null;
        await this.draw(await this.load(), next);
      }
    } catch (error) {
      this.root.replaceChildren(element("div", "wb-trouble", `The figures cannot be drawn: ${complaint(error)}`));
    } finally {
      this.drawing = false;
    }
  }

  /** Applies a patch, or keeps it until what comes before it is there. */
  apply(patch: Patch, buffers: Map<string, ArrayBuffer>): void {
    this.queue.push({ patch, buffers });
    // What a whole document did not bring in time is not coming any more; it will be part of the next one.
    if (this.queue.length > 500) this.queue.splice(0, this.queue.length - 500);
    if (!this.drawing) this.drain();
  }

  recolor(): void {
    if (this.doc) restyle(this.doc, colorsOf(this.root));
  }

  close(): void {
    this.closed = true;
    this.views?.clear();
    this.doc?.clear();
  }

  /** Whether patches at hand lead from what is shown to at least `whole`, so that nothing has to be drawn anew. */
  private caughtUp(whole: Whole): boolean {
    this.drain();
    return this.version >= whole.version;
  }

  private drain(): void {
    if (!this.doc) return;
    while (this.queue.length > 0) {
      const { patch, buffers } = this.queue[0]!;
      if (patch.version > this.version + 1) return;
      this.queue.shift();
      if (patch.version <= this.version) continue;
      this.doc.apply_json_patch(patch.patch, buffers);
      this.version = patch.version;
    }
  }

  private async draw(bokeh: Bokeh, whole: Whole): Promise<void> {
    const doc = bokeh.Document.from_json(JSON.parse(whole.json));
    const grid = element("div", "wb-grid");
    const places = doc.roots().map((_, i) => {
      const place = element("div", "wb-place");
      place.style.gridColumn = `span ${whole.spans[i] ?? 12}`;
      grid.append(place);
      return place;
    });
    restyle(doc, colorsOf(this.root));
    const old = { doc: this.doc, views: this.views };
    this.root.replaceChildren(grid);
    old.views?.clear();
    old.doc?.clear();
    this.views = await bokeh.embed.add_document_standalone(doc, grid, places);
    this.doc = doc;
    this.version = whole.version;
    this.drain();
  }
}

function library(model: Model): () => Promise<Bokeh> {
  return () => {
    const packed = model.get("bokehjs");
    const view = packed instanceof DataView ? packed : new DataView(new ArrayBuffer(0));
    return bokehOf(String(model.get("bokeh_version")), view);
  };
}

export function mountPlot({ model, el }: RenderProps): () => void {
  const { root, release } = frame(el, `${baseCss}\n${plotCss}`, "wb-plot");
  const board = new PlotBoard(root, library(model));
  const take = (value: unknown): void => {
    const whole = parseWhole(value);
    if (whole) void board.show(whole);
  };
  const stopMessages = onMessage(model, (content, buffers) => {
    const patch = parsePatch(content);
    if (patch) board.apply(patch, buffersOf(patch, buffers));
  });
  const stopTrait = onTrait(model, "document", take);
  take(model.get("document"));
  // After the frame's own look at the theme, so that the colours are the new ones.
  const stopTheme = followTheme(() => requestAnimationFrame(() => board.recolor()));
  return () => {
    stopMessages();
    stopTrait();
    stopTheme();
    release();
    board.close();
  };
}
