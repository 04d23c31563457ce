"""A reduction service as a process of its own, to be killed: one JSON line in, one out."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from ringline.callbacks import (
    Consumer,
    ReductionCallback,
    ReductionSettings,
    StoreWriter,
    Workspace,
    open_store,
)
from ringline.callbacks.consumer import _EndedRuns
from ringline.callbacks.spool import RecordFile
from ringline.callbacks.wire import to_json
from ringline.processing import ResultFile, recipe_from_json


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
        consumer = Consumer(callback, workspace.spool, settle=writer.settle)
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


class Death:
    """Ends the process like kill -9, at the n-th time that it is at a chosen instant."""

    def __init__(self, instant: str, times: int) -> None:
        self.instant, self.left = instant, times

    def after(self, owner: Any, method: str, instant: str) -> None:
        original = getattr(owner, method)

        def dying(*args: Any) -> Any:
            result = original(*args)
            self.at(instant, args)
            return result

        setattr(owner, method, dying)

    def at(self, instant: str, args: tuple[Any, ...] = ()) -> None:
        if instant == "record written" and args[0].path.parent.name == "raw":
            instant = "journal written"
        if instant == self.instant:
            self.left -= 1
            if self.left == 0:
                os._exit(77)


def die(folder: Path, recipe: str, instant: str, times: int) -> None:
    """Take all batches in the folder, without a store, and die on the way."""
    death = Death(instant, times)
    death.after(RecordFile, "append", "record written")
    death.after(ResultFile, "append", "curves written")
    death.after(ResultFile, "write_total", "total written")
    death.after(_EndedRuns, "add", "run marked as ended")
    death.after(ReductionCallback, "forget", "spool deleted")
    with (folder / "emitted.jsonl").open("a") as emitted:

        def emit(name: str, document: dict[str, Any]) -> None:
            emitted.write(to_json([name, document]) + "\n")
            emitted.flush()
            death.at("document emitted")

        (folder / "results").mkdir(exist_ok=True)
        settings = ReductionSettings(results=folder / "results", spool=folder / "spool", block=2)
        callback = ReductionCallback(recipe_from_json(recipe), emit, settings=settings)
        consumer = Consumer(callback, folder / "spool")
        documents = [
            json.loads(line) for line in (folder / "batches.jsonl").read_text().splitlines()
        ]
        run = documents[0][1]["uid"]
        wanted = 0
        while wanted < len(documents):
            batch = {"version": 1, "run_uid": run, "number": wanted}
            batch["documents"] = documents[wanted : wanted + 2]
            wanted = json.loads(consumer.consume(json.dumps(batch)))["next"]
        callback.drain(30)
        if not consumer.settle(30):
            sys.exit("not settled")
        consumer.close(5)
        callback.close(5)


if __name__ == "__main__":
    if sys.argv[1] == "--die":
        die(Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        main()
