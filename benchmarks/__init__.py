"""The programs behind every figure in the docs: `make bench-NAME`, one JSON object a line on stdout."""
