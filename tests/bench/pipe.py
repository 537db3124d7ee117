"""How popular recorders work, as its own process: argv is clip, pack, models, fps, seconds, ffmpeg.

One ffmpeg for each camera decodes, drops to the analysed rate, scales to the detector's size and
writes raw video into a pipe; a reader runs ONNX Runtime on every picture, on one thread, without
spinning. Leaner than they are: they read larger pictures than the detector's. The file is read
at the pace of a camera. Prints JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from tests.bench.plain import plain_detector
from tests.bench.processes import pss_mb

__all__: list[str] = []


def _main(clip: str, pack: str, models: str, fps: str, seconds: str, ffmpeg: str) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    detect, (width, height) = plain_detector(pack, Path(models), options)
    command = [
        *(ffmpeg, "-hide_banner", "-loglevel", "error", "-re", "-i", clip, "-an", "-t", seconds),
        *("-vf", f"fps={fps}:round=up:start_time=0,scale={width}:{height}:flags=area"),
        *("-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1"),
    ]
    found = []
    memory = 0.0
    started = _cpu_seconds()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while raw := process.stdout.read(width * height * 3):
            found.append(detect(np.frombuffer(raw, np.uint8).reshape(height, width, 3)))
            if len(found) == 50:
                memory = pss_mb([os.getpid(), process.pid])
    cpu = _cpu_seconds() - started
    print(json.dumps({"cpu": cpu, "frames": -1, "found": found, "memory_mb": memory}))


def _cpu_seconds() -> float:
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, both))


if __name__ == "__main__":
    _main(*sys.argv[1:])
