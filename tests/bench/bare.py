#!/usr/bin/env python3
"""bare.py SOCKET_FOLDER PORT DATABASE ROLE JOURNAL OUT: what the stages of a journal cost the disk, and nothing else.

For each stage of that journal that committed: BEGIN, one INSERT, the WAL flush of a second session, COMMIT, what became of
the transaction; and between them its lines, the same bytes, each appended and synced. Prints seconds and commits.
"""
import json, os, socket, struct, sys, time

folder, port, database, role, journal, out = sys.argv[1:7]


class Session:
    """The simple query protocol, with a server that asks for no password."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{folder}/.s.PGSQL.{port}")
        self.stream = self.socket.makefile("rb")
        words = f"user\0{role}\0database\0{database}\0\0".encode()
        self.socket.sendall(struct.pack("!ii", 8 + len(words), 196608) + words)
        self.ready()

    def ready(self):
        value = None
        while True:
            kind, length = struct.unpack("!ci", self.stream.read(5))
            body = self.stream.read(length - 4)
            if kind == b"E":
                sys.exit(f"bare: {body!r}")
            if kind == b"D":
                value = body[6:].decode()
            if kind == b"Z":
                return value

    def ask(self, sql):
        words = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", 4 + len(words)) + words)
        return self.ready()


stages, order = {}, []
for line in open(journal, "rb"):
    event = json.loads(line)
    stage = event.get("stage")
    if stage is None:
        continue
    if stage not in stages:
        stages[stage] = ([], [], [])
        order.append(stage)
    before, intent, after = stages[stage]
    if event["type"] == "commit_intended":
        intent.append(line)
    elif intent:
        after.append(line)
    else:
        before.append(line)

work, other = Session(), Session()
file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def append(lines):
    for line in lines:
        os.write(file, line)
        os.fdatasync(file)


began, commits = time.monotonic(), 0
for before, intent, after in (stages[stage] for stage in order if stages[stage][1]):
    append(before)
    work.ask("BEGIN")
    work.ask("INSERT INTO public.n (v) VALUES (1)")
    xid = work.ask("SELECT pg_current_xact_id_if_assigned()")
    other.ask("SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'engine', '')")
    append(intent)
    work.ask("COMMIT")
    if work.ask(f"SELECT pg_xact_status('{xid}')") != "committed":
        sys.exit("bare: not committed")
    append(after)
    commits += 1
print(f"{time.monotonic() - began:.3f} {commits}")
