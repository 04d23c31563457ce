"""A reduction service as a process of its own, to be killed: one JSON line in, one out."""

import json
import sys
from pathlib import Path

from ringline.callbacks import (
    Consumer,
    ReductionCallback,
    ReductionSettings,
    StoreWriter,
    Workspace,
    open_store,
)
from ringline.processing import recipe_from_json


def main() -> None:
    workspace = Workspace(Path(sys.argv[1]))
    recipe = recipe_from_json(sys.argv[2])
    with open_store(workspace) as store:
        writer = StoreWriter(store.reduced, readable=store.readable)
        settings = ReductionSettings(
            results=workspace.results,
            spool=workspace.spool,
            readable=store.readable,
            block=3,
            frame_timeout=20,
        )
        callback = ReductionCallback(recipe, writer, settings=settings)
        consumer = Consumer(callback, workspace.spool, settle=writer.drain)
        print("ready", flush=True)
        for line in sys.stdin:
            if line.strip() == "end":
                break
            print(consumer.consume(json.loads(line)), flush=True)
        callback.drain(60)
        print(json.dumps({"settled": consumer.settle(60)}), flush=True)
        consumer.close(5)
        callback.close(5)
        writer.close(30)


if __name__ == "__main__":
    main()
