/** anywidget's entry for the task graph. */
import { mountDag } from "./dag/mount";

export default { render: mountDag };
