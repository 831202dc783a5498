"""What the manifests below deploy/ must keep to, checked without a cluster: `python -m tests.deploy`.

`kustomize` renders, `schemas` knows the fields, `knative`, `security`, `wiring` and `network` hold the rules,
`check` puts them together.
"""
