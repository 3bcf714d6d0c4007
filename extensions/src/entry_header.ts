/** anywidget's entry for the line above the views. */
import { mountHeader } from "./header/header";

export default { render: mountHeader };
