/**
 * BokehJS as the installed bokeh package ships it: Python sends it compressed, so that nothing is loaded over the
 * network and its version is always the one that made the document.
 */

export interface BokehModel {
  readonly type: string;
  setv?(changes: Record<string, unknown>): void;
  readonly [property: string]: unknown;
}

export interface BokehDocument {
  roots(): BokehModel[];
  readonly all_models: Iterable<BokehModel>;
  apply_json_patch(patch: unknown, buffers: Map<string, ArrayBuffer>): void;
  clear(): void;
}

export interface ViewManager {
  clear(): void;
}

export interface Bokeh {
  readonly version: string;
  readonly documents: BokehDocument[];
  /** BokehJS's own modules; `jupyter_bokeh` reaches them the same way. */
  require(name: "document"): { readonly Document: { from_json(json: unknown): BokehDocument } };
  readonly embed: {
    add_document_standalone(doc: BokehDocument, element: HTMLElement, roots: HTMLElement[]): Promise<ViewManager>;
  };
}

interface Page {
  Bokeh?: Bokeh & { readonly [version: string]: unknown };
  /** One load at a time for all views of a page, whichever bundle they come from. */
  workbenchBokeh?: Map<string, Promise<Bokeh>>;
}

/** A BokehJS of this version that the page already has. */
function loaded(page: Page, version: string): Bokeh | null {
  const found = page.Bokeh;
  if (!found) return null;
  if (found.version === version) return found;
  const other = found[version];
  return typeof other === "object" && other !== null ? (other as Bokeh) : null;
}

async function unpack(gzipped: BufferSource): Promise<Blob> {
  const stream = new Blob([gzipped as BlobPart]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Blob([await new Response(stream).arrayBuffer()], { type: "text/javascript" });
}

function runScript(source: Blob): Promise<void> {
  return new Promise((resolve, reject) => {
    const url = URL.createObjectURL(source);
    const script = document.createElement("script");
    script.onload = () => {
      URL.revokeObjectURL(url);
      resolve();
    };
    script.onerror = () => {
      URL.revokeObjectURL(url);
      reject(new Error("this page's security policy does not let BokehJS run"));
    };
    script.src = url;
    document.head.append(script);
  });
}

/** BokehJS of `version`: the page's own, or the one in `gzipped`. */
export function bokehOf(version: string, gzipped: DataView): Promise<Bokeh> {
  const page = window as unknown as Page;
  const present = loaded(page, version);
  if (present) return Promise.resolve(present);
  const loads = (page.workbenchBokeh ??= new Map());
  const running = loads.get(version);
  if (running) return running;
  const load = (async () => {
    if (gzipped.byteLength === 0) throw new Error(`BokehJS ${version} did not arrive; run the cell again`);
    const view = new Uint8Array(gzipped.buffer as ArrayBuffer, gzipped.byteOffset, gzipped.byteLength);
    await runScript(await unpack(view));
    const found = loaded(page, version);
    if (!found) throw new Error(`BokehJS ${version} ran but did not announce itself`);
    return found;
  })();
  loads.set(version, load);
  load.catch(() => loads.delete(version));
  return load;
}
