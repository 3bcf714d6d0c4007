"""Workflows from elsewhere, and campaigns for elsewhere.

    from workbench import exchange

    flow = exchange.read("montage.json")            # a WfFormat or Pipelines-Stages-Tasks file, a networkx graph, ...
    flow.n_tasks, flow.n_edges, flow.depth
    Campaign.from_workflow(flow, pool="nodes=16,cores=8").run()

Every source has one `Importer`, which turns it into one intermediate value, a `Workflow`; that declares the sets and
edges of a campaign of synthetic tasks. Importers never run anything and never unpickle; what they are given is checked
and refused (`BadWorkflow`) in one sentence that names the file, the task and the way out.

workflow    the intermediate value, and its rules
grouping    from tasks to task sets, and from pairs of tasks to as few edges as say the same
reading     which importer takes a file or an object
wfformat    WfFormat 1.4, 1.5 and 1.6 in;   wfout   WfFormat 1.5 out
pst         EnTK's Pipelines, Stages and Tasks
graphs      networkx
"""

from __future__ import annotations

from .reading import IMPORTERS, Importer, read
from .workflow import BadWorkflow, Machine, Workflow, WorkTask

__all__ = ["IMPORTERS", "BadWorkflow", "Importer", "Machine", "WorkTask", "Workflow", "read"]
