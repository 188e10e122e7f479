# SPDX-License-Identifier: GPL-2.0 OR MIT

"""Lets Rucio compute Adler-32 checksums with the device /dev/adler32 or the command adler32.

usage: python rucio_adler32.py PROGRAM [ARGUMENT...]

Runs a program that is written in Python, such as rucio, with this module installed:

    python rucio_adler32.py rucio upload --rse MY_RSE file.root

A program can also call install() before it uses Rucio.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
import zlib

DEVICE = "/dev/adler32"
COMMAND = "adler32"

# The command starts in a few milliseconds. In this time, zlib sums a shorter file.
COMMAND_FROM = 32 << 20

# The most that one call of sendfile transfers.
LENGTH = 0x7FFFF000


def sum_with_device(path):
    """Returns the checksum of a file. The kernel module computes it without a copy of the data."""
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        with open(path, "rb") as file:
            while os.sendfile(device, file.fileno(), None, LENGTH) > 0:
                pass
        return os.pread(device, 8, 0).decode()
    finally:
        os.close(device)


def sum_with_command(path):
    """Returns the checksum of a file. The command reads it with all processors."""
    command = [COMMAND, "sum", "--no-names", "--", os.fspath(path)]
    result = subprocess.run(command, capture_output=True, check=False)
    if result.returncode != 0:
        raise OSError(result.stderr.decode(errors="replace").strip())
    return result.stdout.decode().strip()


def sum_with_zlib(path):
    """Returns the checksum of a file."""
    value = 1
    with open(path, "rb") as file:
        while data := file.read(1 << 16):
            value = zlib.adler32(data, value)
    return f"{value:08x}"


def sum_with_command_or_zlib(path):
    """Returns the checksum of a file, from the faster of both."""
    long = os.stat(path).st_size >= COMMAND_FROM
    return sum_with_command(path) if long else sum_with_zlib(path)


def best():
    """Returns the function to use here."""
    if os.access(DEVICE, os.R_OK | os.W_OK):
        return sum_with_device
    if shutil.which(COMMAND):
        return sum_with_command_or_zlib
    raise FileNotFoundError(f"neither {DEVICE} nor the command {COMMAND} can be used")


def install(compute=None):
    """Replaces Rucio's function in all its modules. The errors remain those of Rucio."""
    from rucio.common import checksum
    from rucio.common.exception import ChecksumCalculationError

    compute = compute or best()
    old = checksum.adler32

    def adler32(file):
        try:
            return compute(file)
        except Exception as error:
            raise ChecksumCalculationError("adler32", str(file), error) from error

    checksum.CHECKSUM_ALGO_DICT["adler32"] = adler32
    for name, module in list(sys.modules.items()):
        if name.startswith("rucio.") and getattr(module, "adler32", None) is old:
            module.adler32 = adler32


def replicas(scope, paths):
    """Returns the files as ReplicaClient.add_replicas takes them: with size and checksum."""
    command = [COMMAND, "sum", "--json", "--", *paths]
    lines = subprocess.run(command, capture_output=True, check=True).stdout.splitlines()
    return [
        {
            "scope": scope,
            "name": os.path.basename(file["file"]),
            "bytes": file["length"],
            "adler32": file["adler32"],
        }
        for file in map(json.loads, lines)
    ]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program = shutil.which(sys.argv[1])
    if program is None:
        sys.exit(f"rucio_adler32.py: {sys.argv[1]}: no such program")
    try:
        install()
    except (ImportError, OSError) as error:
        sys.exit(f"rucio_adler32.py: {error}")
    del sys.argv[0]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
