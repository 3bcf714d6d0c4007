/** anywidget's entry for Bokeh figures: one log for each model, which all its views draw from. */
import { PatchLog } from "./plot/patches";
import { mountPlot } from "./plot/plot";
import { type RenderProps } from "./widget";

export default () => {
  const log = new PatchLog();
  return {
    initialize({ model }: Pick<RenderProps, "model">): () => void {
      log.listen(model);
      return () => log.close();
    },
    render: (props: RenderProps): (() => void) => mountPlot(props, log),
  };
};
