# SPDX-License-Identifier: GPL-2.0 OR MIT

"""Computes the Adler-32 checksum of a file with all workers of a Dask cluster.

usage: python sum.py SCHEDULER_FILE FILE

FILE must have the same path on all machines, and all must have the command adler32.
"""

import json
import math
import os
import socket
import subprocess
import sys

from dask.distributed import Client

# Several ranges for each worker, so that faster workers can sum more of them.
RANGES_PER_WORKER = 4


def sum_range(path, offset, length):
    """Sums a range of the file on a worker and returns the line for it."""
    command = ["adler32", "sum", "--range", f"{offset}:{length}", path]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except OSError as error:
        reason = str(error)
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
    raise RuntimeError(f"on {socket.gethostname()}: {reason}")


def lines(scheduler_file, path):
    """Lets the workers sum the file and returns the lines for all ranges."""
    size = os.path.getsize(path)
    # Given the path of a missing file, Client would wait forever.
    with open(scheduler_file) as file:
        address = json.load(file)["address"]
    with Client(address) as client:
        client.wait_for_workers(1, timeout=60)
        ranges = RANGES_PER_WORKER * len(client.nthreads())
        length = max(1, math.ceil(size / ranges))
        # An empty file also needs one range.
        offsets = range(0, max(1, size), length)
        # pure=False: the file may have changed since an earlier call with the same arguments.
        parts = [client.submit(sum_range, path, offset, length, pure=False) for offset in offsets]
        return client.gather(parts)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    scheduler_file, path = sys.argv[1:]
    try:
        parts = lines(scheduler_file, os.path.abspath(path))
        combined = subprocess.run(["adler32", "combine"], input=b"".join(parts))
    except (OSError, RuntimeError) as error:
        sys.exit(f"sum.py: {error}")
    sys.exit(combined.returncode)


if __name__ == "__main__":
    main()
