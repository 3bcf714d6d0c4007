/** anywidget's entry for Bokeh figures. */
import { mountPlot } from "./plot/plot";

export default { render: mountPlot };
