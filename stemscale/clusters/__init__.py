"""Where blocks are made: the name of a place comes in, a client with ready workers goes out."""

from stemscale.clusters.address import Tls
from stemscale.clusters.cores import usable_cores
from stemscale.clusters.local import local_workers
from stemscale.clusters.place import StartWorkers, check_place, check_workers, connect
from stemscale.clusters.worker import worker_device

__all__ = [
    "StartWorkers",
    "Tls",
    "check_place",
    "check_workers",
    "connect",
    "local_workers",
    "usable_cores",
    "worker_device",
]
