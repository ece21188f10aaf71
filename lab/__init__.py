"""The project's test lab: a registry, a Docker daemon and images of its own, on one machine.

`python -m lab up | down | status | env`. Root on Linux only. See lab/README.md.
"""
