"""From a profile and a release to a ranked list; one code path for serving, training and evaluation."""
