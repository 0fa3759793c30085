"""What client and server say to each other: requests and answers as data classes (JSON), events as frames."""

from boltzformer.protocol.api import ROOT as ROOT
from boltzformer.protocol.api import SMALL as SMALL
from boltzformer.protocol.api import Focus as Focus
from boltzformer.protocol.api import Health as Health
from boltzformer.protocol.api import JobState as JobState
from boltzformer.protocol.api import Means as Means
from boltzformer.protocol.api import ModelFile as ModelFile
from boltzformer.protocol.api import ModelName as ModelName
from boltzformer.protocol.api import ModelState as ModelState
from boltzformer.protocol.api import NewVolume as NewVolume
from boltzformer.protocol.api import Problem as Problem
from boltzformer.protocol.api import SegmentRequest as SegmentRequest
from boltzformer.protocol.api import TraceRequest as TraceRequest
from boltzformer.protocol.api import VolumeState as VolumeState
from boltzformer.protocol.frames import decode as decode
from boltzformer.protocol.frames import decode_event as decode_event
from boltzformer.protocol.frames import encode as encode
from boltzformer.protocol.frames import frames as frames
