#!/usr/bin/env python3
"""timed.py COMMAND...: runs it and says on one line: seconds of wall time, MiB of its largest resident set, exit code.
With TIMED_CPU set, seconds of processor time stand before the exit code."""
import os, sys, time

began = time.monotonic()
child = os.fork()
if child == 0:
    sink = os.open(os.environ.get("TIMED_LOG", "/dev/null"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
wall = time.monotonic() - began
cpu = f" {usage.ru_utime + usage.ru_stime:.3f}" if os.environ.get("TIMED_CPU") else ""
print(f"{wall:.3f} {usage.ru_maxrss / 1024:.0f}{cpu} {os.waitstatus_to_exitcode(status)}")
