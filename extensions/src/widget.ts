/** The part of anywidget's interface that the views use, and the pieces that all of them share. */
import { paletteCss } from "./palette";
import { followTheme } from "./theme";

export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: string, callback: (...args: never[]) => void): void;
  off(event: string, callback: (...args: never[]) => void): void;
}

export interface RenderProps {
  readonly model: Model;
  readonly el: HTMLElement;
}

/** Hears a trait; returns a function that stops it. */
export function onTrait(model: Model, name: string, listener: (value: unknown) => void): () => void {
  const heard = (): void => listener(model.get(name));
  model.on(`change:${name}`, heard);
  return () => model.off(`change:${name}`, heard);
}

/** Hears the messages that Python sends; returns a function that stops it. */
export function onMessage(
  model: Model,
  listener: (content: unknown, buffers: readonly DataView[]) => void,
): () => void {
  const heard = (content: unknown, buffers: readonly DataView[]): void => listener(content, buffers ?? []);
  model.on("msg:custom", heard);
  return () => model.off("msg:custom", heard);
}

const SUPPRESS = "data-lm-suppress-shortcuts";

/**
 * The element that a view draws into: styled, following the theme, and keeping its keys from JupyterLab's shortcuts
 * (typing `d d` in the view would delete the notebook cell). The attribute has to be on the element that has the focus
 * too: the notebook's shortcuts ask for whatever is focused within it, and the search begins there.
 */
export function frame(el: HTMLElement, css: string, name: string): { root: HTMLElement; release: () => void } {
  const style = document.createElement("style");
  style.textContent = `${paletteCss()}\n${css}`;
  const root = document.createElement("div");
  root.className = `wb-root ${name}`;
  root.setAttribute(SUPPRESS, "true");
  root.addEventListener("focusin", (event) => (event.target as Element).setAttribute(SUPPRESS, "true"));
  el.replaceChildren(style, root);
  const release = followTheme((theme) => {
    root.dataset.theme = theme;
  });
  return { root, release };
}

/** An element with a class and a text; texts are never parsed as HTML. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  content = "",
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = className;
  if (content) made.textContent = content;
  return made;
}

/** A 12 x 12 glyph. */
export function glyph(path: string): SVGSVGElement {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("class", "wb-glyph");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(ns, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** What went wrong, for a person to read. */
export function complaint(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
