"""What tests of the workbench, and of executors written by others, stand on: clocks, fault scripts, conformance."""
