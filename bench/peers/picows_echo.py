# A WebSocket echo on picows, to compare with: picows_echo.py --port N. One thread, asyncio.
import asyncio
import signal
import sys

from picows import WSListener, WSMsgType, ws_create_server


class Echo(WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


async def main():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = await ws_create_server(lambda request: Echo(), "127.0.0.1", int(sys.argv[2]))
    async with server:
        await ended.wait()


asyncio.run(main())
