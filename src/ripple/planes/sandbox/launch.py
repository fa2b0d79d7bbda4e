"""Becomes bwrap for a long-running service: ``launch.py FILTER BWRAP ARGUMENTS...``. Standard library only.

- bwrap dies of SIGTERM and takes the service with it at once; here it starts with SIGTERM and SIGINT ignored, so a
  stop sent to the process group reaches only the relay inside, which lets the service end by itself.
- The seccomp filter (base64, may be empty) needs a descriptor, which an argument list cannot carry.
"""

import base64
import os
import signal
import sys


def main(words: list[str]) -> None:
    """Replace this process by bwrap."""
    program, binary, arguments = base64.b64decode(words[0]), words[1], words[2:]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    options = []
    if program:
        file = os.memfd_create("ripple-filter", 0)
        os.write(file, program)
        os.lseek(file, 0, os.SEEK_SET)
        options = ["--seccomp", str(file)]
    os.execv(binary, [binary, *options, *arguments])  # noqa: S606 (no shell on purpose)


main(sys.argv[1:])
