# SPDX-License-Identifier: GPL-2.0 OR MIT

"""Tests rucio_adler32 with Rucio's client. With the argument --figures, measures it."""

import os
import sys
import tempfile
import time
import unittest
import zlib

import rucio_adler32
from rucio.common import checksum
from rucio.common.exception import ChecksumCalculationError

# Before the module is installed.
RUCIO = checksum.adler32


class Test(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        rucio_adler32.install()

    def write(self, name, data):
        path = os.path.join(self.directory.name, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def test_checksums_are_those_of_rucio(self):
        from rucio.client import uploadclient
        from rucio.rse.protocols import posix

        for data in [b"", b"abcde", bytes(4), os.urandom(3_000_001), os.urandom(40_000_000)]:
            path = self.write("a name\nwith -- two lines", data)
            expected = f"{zlib.adler32(data):08x}"
            self.assertEqual(RUCIO(path), expected)
            self.assertEqual(rucio_adler32.sum_with_command(path), expected)
            for module in [checksum, uploadclient, posix]:
                self.assertIsNot(module.adler32, RUCIO)
                self.assertEqual(module.adler32(path), expected)
            self.assertEqual(checksum.CHECKSUM_ALGO_DICT["adler32"](path), expected)

    def test_errors_are_those_of_rucio(self):
        for path in [os.path.join(self.directory.name, "none"), self.directory.name]:
            for function in [RUCIO, checksum.adler32]:
                with self.assertRaises(ChecksumCalculationError):
                    function(path)

    def test_replicas(self):
        paths = [self.write("a", b"abcde"), self.write("zeros", bytes(4))]
        self.assertEqual(
            rucio_adler32.replicas("user.me", paths),
            [
                {"scope": "user.me", "name": "a", "bytes": 5, "adler32": "05c801f0"},
                {"scope": "user.me", "name": "zeros", "bytes": 4, "adler32": "00040001"},
            ],
        )


def figures():
    """Prints the shortest times of Rucio's function and of ours for files in the page cache."""
    functions = {
        "Rucio": RUCIO,
        "command or zlib": rucio_adler32.sum_with_command_or_zlib,
        "device": rucio_adler32.sum_with_device,
    }
    if not os.access(rucio_adler32.DEVICE, os.R_OK | os.W_OK):
        del functions["device"]
    for size in [1 << 10, 1 << 20, 32 << 20, 128 << 20, 1 << 30]:
        with tempfile.NamedTemporaryFile() as file:
            for _ in range(max(1, size >> 20)):
                file.write(os.urandom(min(size, 1 << 20)))
            file.flush()
            times = {name: [] for name in functions}
            for _ in range(15):
                for name, function in functions.items():
                    start = time.perf_counter()
                    function(file.name)
                    times[name].append(time.perf_counter() - start)
        best = [f"{name} {min(rounds) * 1e3:.2f} ms" for name, rounds in times.items()]
        print(f"{size >> 10} KiB:", *best)


if __name__ == "__main__":
    if "--figures" in sys.argv:
        figures()
    else:
        unittest.main()
