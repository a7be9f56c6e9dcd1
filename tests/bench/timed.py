#!/usr/bin/env python3
"""timed.py COMMAND...: runs it and says on one line: seconds of wall time, MiB of its largest resident set, exit code."""
import os, sys, time

began = time.monotonic()
child = os.fork()
if child == 0:
    sink = os.open(os.environ.get("TIMED_LOG", "/dev/null"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(f"{time.monotonic() - began:.3f} {usage.ru_maxrss / 1024:.0f} {os.waitstatus_to_exitcode(status)}")
