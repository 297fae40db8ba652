import sys

from tests import notebooks

for name in sys.argv[1:] or notebooks.names():
    print(f"executing {name}", flush=True)
    notebooks.save(name, notebooks.execute(name))
