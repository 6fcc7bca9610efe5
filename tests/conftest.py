"""Settings of all tests: repeatable property tests, and one thread per library."""

import os
import shutil
import signal
from pathlib import Path

# nothing then waits until a disk has each object
MEMORY, ENOUGH = "/dev/shm", 4 << 30
if Path(MEMORY).is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH:
    os.environ.setdefault("TMPDIR", MEMORY)

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# runs that name no number: tests already keep all cores busy, and each worker imports for a second
os.environ.setdefault("CLIO_WORKERS", "1")

import cv2  # noqa: E402  (numpy's BLAS reads the environment when it is loaded)
from hypothesis import HealthCheck, settings  # noqa: E402

from tests.runs import aligned, demo, small_disk, stack  # noqa: E402, F401
from tests.stores import bucket, gcs, gcs_server, s3, s3_server  # noqa: E402, F401

cv2.setNumThreads(1)
# a shell lets what it starts in the background ignore Ctrl-C, and with it all that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)

# `ci`, the default, tries the same examples each time and keeps no database;
# HYPOTHESIS_PROFILE=search looks for new ones
QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, suppress_health_check=QUIET, max_examples=100
)
settings.register_profile("search", deadline=None, suppress_health_check=QUIET, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
