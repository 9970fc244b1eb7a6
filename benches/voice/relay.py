"""The relay that one would write first: a server and a client of `websockets`, messages passed on unchanged."""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve


async def relay(caller):
    async with connect(sys.argv[1], compression=None, ping_interval=None) as bot:

        async def pass_on(one, other):
            async for message in one:
                await other.send(message)
            await other.close()

        await asyncio.gather(pass_on(caller, bot), pass_on(bot, caller), return_exceptions=True)


async def main():
    async with serve(relay, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
