"""A bot made with pipecat, with its own serializers, as a peer that is not ours: it greets, answers after whoever spoke,
stops when it is interrupted, and ends the call when # is pressed. Its voice is a tone: no service is asked.

/exotel speaks Exotel's protocol (for Patchbay's backend `exotel`), /twilio Twilio's (for `twilio`)."""

import math
import struct
import sys
import warnings

warnings.filterwarnings("ignore", category=DeprecationWarning)

import audioop  # noqa: E402: gone from Python 3.13 on, where audioop-lts has it

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import (
    EndWorkerFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    StartFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.exotel import ExotelFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

RATE = 8000
LOUD = 1000
app = FastAPI()


def tone(seconds, hertz):
    samples = (int(9000 * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(int(seconds * RATE)))
    return b"".join(struct.pack("<h", sample) for sample in samples)


class Talk(FrameProcessor):
    """Speech is what is loud, most of the time: 200 ms of it interrupt, 600 ms of quiet after it are the end of a turn."""

    def __init__(self):
        super().__init__()
        self.loud = 0.0
        self.quiet = 0.0
        self.spoke = False

    async def say(self, seconds, hertz=440):
        await self.push_frame(OutputAudioRawFrame(audio=tone(seconds, hertz), sample_rate=RATE, num_channels=1))

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            await self.heard(frame)
            return
        if isinstance(frame, InputDTMFFrame):
            if frame.button.value == "#":
                await self.say(0.5, 880)
                await self.push_frame(EndWorkerFrame(), FrameDirection.UPSTREAM)
            else:
                await self.say(0.5, 660)
            return
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            await self.say(3)

    async def heard(self, frame):
        # Exotel may send half a sample; pipecat passes it on.
        audio = frame.audio[: len(frame.audio) // 2 * 2]
        seconds = len(audio) / 2 / frame.sample_rate
        if audioop.rms(audio, 2) > LOUD:
            self.loud, self.quiet = self.loud + seconds, 0.0
            if self.loud >= 0.2 and not self.spoke:
                self.spoke = True
                await self.broadcast_interruption()
        else:
            # Syllables have pauses between them.
            self.loud, self.quiet = max(0.0, self.loud - seconds / 2), self.quiet + seconds
            if self.spoke and self.quiet >= 0.6:
                self.loud, self.spoke = 0.0, False
                await self.say(2)


async def talk(websocket, serializer):
    transport = FastAPIWebsocketTransport(
        websocket,
        FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=serializer),
    )
    worker = PipelineWorker(
        Pipeline([transport.input(), Talk(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(_transport, _client):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


@app.websocket("/exotel")
async def exotel(websocket: WebSocket):
    await websocket.accept()
    _, call = await parse_telephony_websocket(websocket)
    await talk(websocket, ExotelFrameSerializer(stream_sid=call["stream_id"], call_sid=call["call_id"]))


@app.websocket("/twilio")
async def twilio(websocket: WebSocket):
    await websocket.accept()
    _, call = await parse_telephony_websocket(websocket)
    params = TwilioFrameSerializer.InputParams(auto_hang_up=False)
    await talk(websocket, TwilioFrameSerializer(stream_sid=call["stream_id"], call_sid=call["call_id"], params=params))


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", ws_ping_interval=None)
