#!/usr/bin/env python3
"""far.py NEAR_FOLDER FAR_FOLDER PORT MS: a server's socket that is far away.

Listens on the socket of PORT in NEAR_FOLDER and hands everything on to the one in FAR_FOLDER, each way MS / 2 milliseconds later:
an answer that is waited for takes MS, and what is sent without waiting takes it together. Ends when it is killed.
"""
import asyncio, os, sys

near, far, port, ms = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
LATER = ms / 2000


async def carry(reader, writer):
    clock = asyncio.get_running_loop().time
    line = asyncio.Queue()

    async def arrive():
        while True:
            due, words = await line.get()
            await asyncio.sleep(due - clock())
            if not words:
                break
            writer.write(words)
            await writer.drain()
        writer.close()

    there = asyncio.create_task(arrive())
    try:
        while words := await reader.read(65536):
            line.put_nowait((clock() + LATER, words))
    except ConnectionError:
        pass
    line.put_nowait((clock() + LATER, b""))
    try:
        await there
    except ConnectionError:
        pass


async def called(reader, writer):
    there, back = await asyncio.open_unix_connection(f"{far}/.s.PGSQL.{port}")
    await asyncio.gather(carry(reader, back), carry(there, writer))


async def main():
    path = f"{near}/.s.PGSQL.{port}"
    server = await asyncio.start_unix_server(called, path)
    os.chmod(path, 0o777)
    async with server:
        await server.serve_forever()


asyncio.run(main())
