"""The conformance suite is a library; its assertions are shown as those of tests are."""

import pytest

pytest.register_assert_rewrite("workbench.testing.conformance", "workbench.testing.bench")
