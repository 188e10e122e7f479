# SPDX-License-Identifier: GPL-2.0 OR MIT

"""The Adler-32 checksum of a file by all workers of a Dask cluster.

usage: python sum.py SCHEDULER_FILE FILE

FILE has the same path on all machines, and each has the command adler32.
"""

import json
import math
import os
import socket
import subprocess
import sys

from dask.distributed import Client

# With some ranges for each worker, the fast ones do more of them.
RANGES_PER_WORKER = 4


def sum_range(path, offset, length):
    """Sums a range, on a worker, and returns the line for it."""
    command = ["adler32", "sum", "--range", f"{offset}:{length}", path]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except OSError as error:
        reason = str(error)
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
    raise RuntimeError(f"on {socket.gethostname()}: {reason}")


def lines(scheduler_file, path):
    """Has the workers sum the file, and returns the lines of all ranges."""
    size = os.path.getsize(path)
    # Client would wait for ever for a file that is not there.
    with open(scheduler_file) as file:
        address = json.load(file)["address"]
    with Client(address) as client:
        client.wait_for_workers(1, timeout=60)
        ranges = RANGES_PER_WORKER * len(client.nthreads())
        length = max(1, math.ceil(size / ranges))
        # An empty file has one range, too.
        offsets = range(0, max(1, size), length)
        # Not pure: the file may have changed since a call with the same arguments.
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
