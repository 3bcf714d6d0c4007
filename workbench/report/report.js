"use strict";
(() => {
  const data = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const get = (map, key) => (map instanceof Map ? map.get(key) : map[key]);
  const plain = (map) => (map instanceof Map ? Object.fromEntries([...map].map(([k, v]) => [k, plain(v)])) : map);
  const complain = (error) => {
    for (const place of document.querySelectorAll(".figure")) place.textContent = `This figure cannot be drawn: ${error}`;
  };
  try {
    const doc = Bokeh.require("document").Document.from_json(data.document);
    const paint = () => {
      const side = dark.matches ? "dark" : "light";
      for (const model of doc.all_models) {
        for (const tag of model.tags) {
          if (typeof tag !== "object" || tag === null) continue;
          const values = get(tag, side);
          if (values) model.setv(plain(values));
        }
      }
    };
    paint();
    dark.addEventListener("change", paint);
    const places = data.places.map((id) => document.getElementById(id));
    Bokeh.embed.add_document_standalone(doc, document.body, places).catch(complain);
  } catch (error) {
    complain(error);
  }
})();
