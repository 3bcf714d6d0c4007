/** Light or dark, from the front end that the view lives in, and what to do when that changes. */

export type Theme = "light" | "dark";

/** JupyterLab says so on its body, VS Code too; elsewhere the operating system decides. */
export function currentTheme(body: HTMLElement = document.body): Theme {
  const lab = body.dataset.jpThemeLight;
  if (lab !== undefined) return lab === "false" ? "dark" : "light";
  const code = body.dataset.vscodeThemeKind;
  if (code !== undefined) return /dark|high-contrast$/.test(code) ? "dark" : "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Calls back now and after each change of theme; returns a function that stops it. */
export function followTheme(tell: (theme: Theme) => void): () => void {
  let last: Theme | null = null;
  const look = (): void => {
    const theme = currentTheme();
    if (theme === last) return;
    last = theme;
    tell(theme);
  };
  const observer = new MutationObserver(look);
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind"],
  });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", look);
  look();
  return () => {
    observer.disconnect();
    system.removeEventListener("change", look);
  };
}
