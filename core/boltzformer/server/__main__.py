"""`python -m boltzformer.server MODEL [MEANS]`: the child process of a `Session`."""

import json
import sys

from boltzformer.protocol import Means
from boltzformer.server.process import serve_owner

if __name__ == "__main__":
    serve_owner(sys.argv[1], Means(**json.loads(sys.argv[2])) if len(sys.argv) > 2 else Means())
