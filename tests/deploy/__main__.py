"""`python -m tests.deploy`: exit status 1 and a line for each problem, or one line that all is well."""

from __future__ import annotations

import sys
import time

from tests.deploy import check
from tests.deploy.against_kubectl import differences, usable_kubectl


def main() -> int:
    """Check everything; where a kubectl is installed, compare the renderer with its kustomize too."""
    began_s = time.monotonic()
    found = list(check.everything())
    kubectl = usable_kubectl()
    if kubectl:
        found += differences(kubectl)
    for text in found:
        print(text, file=sys.stderr)
    counted = sum(len(check.installation(names)) for names in check.INSTALLATIONS.values())
    rendered = (
        "rendered as kubectl does"
        if kubectl
        else "no kubectl of 1.21 or newer here: rendering was not compared"
    )
    print(
        f"deploy: {len(found)} problems in {counted} objects of {len(check.INSTALLATIONS)} installations, "
        f"{rendered}, {time.monotonic() - began_s:.1f} s"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
