"""``python -m workbench.cli`` is the ``workbench`` script."""

import sys

from workbench.cli import main

sys.exit(main())
