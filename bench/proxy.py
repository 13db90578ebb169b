"""A proxy on loopback that makes a registry slower in one way, in a thread of the benchmark: none of it is in a figure."""

import asyncio
import re
import time
from contextlib import suppress
from threading import Thread

PIECE = 1 << 16
PUT_MANIFEST = re.compile(rb"PUT /v2/\S+/manifests/(\S+) ")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Proxy:
    """Use as a context manager. `delay` seconds are added to each PUT of a manifest; `rate` is how many bytes per second
    come back on one connection. `sent` counts those bytes, `received` those of bodies in requests, `named` has when the
    PUT of each tag was answered."""

    def __init__(self, registry: str, delay: float = 0, rate: float = float("inf")):
        self.registry, self.delay, self.rate = registry.split(":"), delay, rate
        self.sent, self.received, self.named = 0, 0, []

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = Thread(target=self.loop.run_forever)
        self.thread.start()
        server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_):
        self._run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _stop(self):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, client, to_client):
        registry, to_registry = await asyncio.open_connection(*self.registry)
        # Tags whose PUT is not answered yet: at most one, as no client here sends two requests at once.
        asked = []
        with suppress(asyncio.CancelledError):
            await asyncio.gather(self._requests(client, to_registry, asked), self._answers(registry, to_client, asked))

    async def _requests(self, client, to_registry, asked):
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await client.readuntil(b"\r\n\r\n")
                if put := PUT_MANIFEST.match(head):
                    await asyncio.sleep(self.delay)
                    asked += [tag for tag in put.groups() if b":" not in tag]
                to_registry.write(head)
                if CHUNKED.search(head):
                    while size := await self._chunk(client, to_registry):
                        await self._pass_on(client, to_registry, size + len(b"\r\n"))
                    await self._pass_on(client, to_registry, len(b"\r\n"))
                elif length := LENGTH.search(head):
                    await self._pass_on(client, to_registry, int(length.group(1)))
        to_registry.close()

    async def _chunk(self, client, to_registry) -> int:
        line = await client.readuntil(b"\r\n")
        to_registry.write(line)
        return int(line.partition(b";")[0], 16)

    async def _pass_on(self, client, to_registry, left: int):
        while left:
            piece = await client.read(min(left, PIECE))
            if not piece:
                raise ConnectionError
            to_registry.write(piece)
            await to_registry.drain()
            self.received += len(piece)
            left -= len(piece)

    async def _answers(self, registry, to_client, asked):
        due = 0.0
        with suppress(ConnectionError):
            while piece := await registry.read(PIECE):
                if asked:
                    asked.clear()
                    self.named.append(time.perf_counter())
                # What an idle connection did not use is lost; a timer that was late is caught up.
                due = max(due, time.perf_counter() - 0.02) + len(piece) / self.rate
                await asyncio.sleep(due - time.perf_counter())
                to_client.write(piece)
                await to_client.drain()
                self.sent += len(piece)
        to_client.close()
