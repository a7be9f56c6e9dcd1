#!/usr/bin/env python3
"""lengthen.py JOURNAL STAGE FIRST LAST: gives a journal the lines of many stages more, each as STAGE has them.

For the measure of a long run that is taken up again: running ten thousand stages first would take longer than all the rest.
The chain is a real one. Stages are called s00001 and so on.
"""
import hashlib, json, re, sys

path, stage, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def link(prev, line):
    digest = hashlib.sha256()
    for part in (prev.encode(), line):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


lines = open(path, "rb").read().splitlines()
head = json.loads(lines[-1])["prev"]
head = link(head, lines[-1])
seq = len(lines)
own = [line for line in lines if json.loads(line).get("stage") == stage]
with open(path, "ab") as journal:
    for number in range(first, last + 1):
        for line in own:
            line = line.replace(stage.encode(), b"s%05d" % number)
            line = re.sub(rb'"seq":\d+', b'"seq":%d' % seq, line, count=1)
            line = re.sub(rb'"prev":"[0-9a-f]+"', b'"prev":"%s"' % head.encode(), line, count=1)
            journal.write(line + b"\n")
            head, seq = link(head, line), seq + 1
