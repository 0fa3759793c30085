"""`python -m boltzformer.server MODEL`: the child process of a `Session`."""

import sys

from boltzformer.server.process import serve_owner

if __name__ == "__main__":
    serve_owner(sys.argv[1])
