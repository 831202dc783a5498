"""`make test-cluster`: Freshet on a cluster with Knative Serving and, for `pull`, KEDA. Prints JSON lines.

1. Bring the images, install Kafka and Valkey for the test, create the topics (the setup Job).
2. Apply deploy/knative/push as it is, but for images and for scaling down sooner; load a catalogue through
   ingest and the push profiler; publish a first release (the setup Job again).
3. wakes: 1 → 0, and 0 → 1 on a request. 4. rollouts: bad ones, and a split.
5. push: records posted as a KafkaSource posts them. 6. pull: KEDA and a Deployment.

The namespace `freshet` is made anew and deleted at the end; `--keep` leaves it. site.py says what to set.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import time

from tests.cluster import deliveries, kubectl, rollouts, site, wakes
from tests.cluster.callers import Caller
from tests.cluster.figures import print_line, say
from tests.deploy.check import NAMESPACE, version
from tests.deploy.documents import is_knative, name_of

PARTS = ("wakes", "rollouts", "push", "pull")
_ITEMS = 300


def install() -> None:
    """Steps 1 and 2."""
    site.uninstall()
    say("images")
    site.bring_images()
    say("Kafka, Valkey, topics")
    site.install_base()
    site.run_setup()
    say("deploy/knative/push")
    # A cluster for the test may lack the KafkaSource controller; source.py stands where it would.
    kubectl.apply(*(one for one in site.rendered("push") if not one["kind"].startswith("Kafka")))
    kubectl.apply(site.bare_service())
    wakes.wait_until_ready("ingest", "profiler", "bare")
    say("a catalogue through ingest and the profiler, then a release")
    deliveries.post_items(Caller("ingest"), _ITEMS)
    with deliveries.delivering() as posted:
        items = posted[deliveries.ITEMS[0]]
        kubectl.until("the catalogue is delivered", 120, lambda: items.records >= _ITEMS)
    site.run_setup()
    wakes.wait_until_ready("recommender")


def to_pull() -> None:
    """The push profiler goes; the Deployment and its ScaledObject come."""
    kubectl.run("-n", NAMESPACE, "delete", "services.serving.knative.dev/profiler", "--ignore-not-found")
    kubectl.apply(
        *(one for one in site.rendered("pull") if name_of(one).endswith("/profiler") and not is_knative(one))
    )


def run(parts: list[str], runs: int) -> None:
    """Steps 3 to 6, those that are wanted."""
    print_line("cluster", freshet=version(), parts=parts, **kubectl.versions())
    if "wakes" in parts:
        wakes.measure(runs)
    if "rollouts" in parts:
        rollouts.bad_rollouts()
        rollouts.split()
    if "push" in parts:
        deliveries.by_push(runs)
        deliveries.given_up()
    if "pull" in parts:
        to_pull()
        deliveries.by_pull(runs)


def main() -> int:
    """The exit status: 0 when everything held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="of each wake (default 5)")
    parser.add_argument("--keep", action="store_true", help="leave the namespace as it is at the end")
    parser.add_argument(
        "--installed", action="store_true", help="the namespace of an earlier --keep is there"
    )
    arguments = parser.parse_args()
    parts = arguments.parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {sorted(unknown)}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it meets, source.py retries
    began_s = time.monotonic()
    try:
        site.gateway()
        if not arguments.installed:
            install()
        run(parts, arguments.runs)
    except (kubectl.ClusterError, subprocess.SubprocessError) as error:
        print(f"test-cluster: {error}", file=sys.stderr)
        return 1
    finally:
        if not arguments.keep:
            site.uninstall()
    print_line("test_cluster", value=round(time.monotonic() - began_s), unit="s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
