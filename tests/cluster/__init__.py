"""deploy/knative against a real cluster; `make test` collects nothing here.

`verdicts` (make check-cluster) asks the API server and its admission webhooks about every manifest;
`python -m tests.cluster` (make test-cluster) runs Freshet on a cluster and measures. KUBECONFIG says which.
"""
