"""What a run tells while it trains: the journal, the timing, a bar, and words when something looks wrong."""

import json
import math
import time
from dataclasses import replace
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from alexnet import distributed
from alexnet.errors import counted
from alexnet.evaluation.evaluate import Evaluation
from alexnet.training.checkpoint import Position
from alexnet.training.journal import Journal
from alexnet.training.parts import Parts
from alexnet.training.run import Run

_LINES_AN_EPOCH = 50
_STRETCH = 100


class Record:
    """Writes journal.jsonl and timing.jsonl and draws the bar; on ranks other than 0 it only counts."""

    def __init__(self, run: Run, parts: Parts, length: int) -> None:
        """Goes on with the journal of `run` at `length` bytes."""
        self._run, self._loader = run, parts.loader
        self._classes, self._batches = len(parts.classifier.classes), parts.loader.batches
        self._every = max(1, self._batches // _LINES_AN_EPOCH)
        self._speaks = distributed.rank() == 0
        self._journal = Journal(run.path / "journal.jsonl", length) if self._speaks else None
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=not (self._speaks and console.is_terminal))
        self._task = self._bar.add_task("", total=self._batches, told="")
        self._judged = False
        self._speed = self._waiting = 0.0
        self._began, self._waited, self._first = time.monotonic(), 0.0, Position()

    def __enter__(self) -> "Record":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()
        if self._journal:
            self._journal.close()

    def resumed(self, position: Position) -> None:
        """Nothing; it is said where a run that was begun before goes on."""
        if position.finished:
            self._say(f"finished already, after {counted(position.epoch, 'epoch')}")
        else:
            self._say(f"going on in epoch {position.epoch + 1}, after step {position.step}")

    def begin(self, position: Position) -> None:
        """Nothing; the bar shows the epoch of `position` from its batch on, and the clock runs."""
        last = self._run.recipe.schedule.epochs
        self._bar.reset(self._task, completed=position.batch, description=f"epoch {position.epoch + 1}/{last}", told="")
        self._began, self._waited, self._first = time.monotonic(), self._loader.waiting, position

    def stepped(self, position: Position, sums: tuple[float, ...]) -> Position:
        """The position after one more step, whose batch measured `sums`."""
        batch, step = position.batch + 1, position.step + 1
        total = tuple(a + b for a, b in zip(position.sums, sums, strict=True))
        position = replace(position, batch=batch, step=step, sums=total)
        _, speed, waiting = self._pace(position)
        told = f"loss {total[0] / total[3]:.3f}  error {total[1] / total[3]:.3f}  {speed:.0f} images/s"
        if waiting >= 0.01:
            told += f"  waiting for data {waiting:.0%}"
        self._bar.update(self._task, completed=batch, told=told)
        if batch % self._every and batch != self._batches:
            return position
        loss, top1, _, images = (a - b for a, b in zip(total, position.written, strict=True))
        epoch = position.epoch + batch / self._batches
        line = {"event": "step", "epoch": epoch, "step": step, "loss": loss / images, "top1_error": top1 / images}
        self._write(line)
        if batch == self._batches and step >= _STRETCH and not self._judged:
            self._judged = True
            self._warn_if_stuck(total[0] / total[3], step)
        return replace(position, written=total)

    def paused(self, position: Position) -> None:
        """Nothing; timing.jsonl tells how fast the batches since `begin` went."""
        seconds, speed, waiting = self._pace(position)
        self._speed, self._waiting = speed, waiting
        if self._speaks and position.step > self._first.step:
            line = {
                "epoch": position.epoch + 1,
                "steps": position.step - self._first.step,
                "seconds": round(seconds, 3),
                "images_per_second": round(speed, 2),
                "waiting_for_data": round(waiting, 4),
            }
            with (self._run.path / "timing.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    def finished_epoch(self, position: Position, result: Evaluation | None) -> Position:
        """The position at the start of the next epoch; the journal tells of this one."""
        schedule = self._run.recipe.schedule
        rate = self._run.recipe.optimiser.learning_rate * schedule.factors(position.epoch, position.errors).weights
        loss, top1, top5, images = position.sums
        training = {"loss": loss / images, "top1_error": top1 / images, "top5_error": top5 / images}
        validation = result.to_json() if result else None
        epoch = position.epoch + 1
        self._write(
            {
                "event": "epoch",
                "epoch": epoch,
                "step": position.step,
                "rate": rate,
                "training": {**training, "images": int(images)},
                "validation": validation,
            }
        )
        errors = (*position.errors, result.top1_error) if result else position.errors
        self._say_epoch(epoch, training, result)
        done = epoch >= schedule.epochs or schedule.finished(errors)
        return Position(epoch=epoch, step=position.step, errors=errors, finished=done)

    def flushed(self) -> int:
        """The journal's length in bytes, all of it on the disk."""
        return self._journal.flushed() if self._journal else 0

    def _pace(self, position: Position) -> tuple[float, float, float]:
        """(seconds since `begin`, images/s, share of the time that the loop waited for data)."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        speed = (position.sums[3] - self._first.sums[3]) / seconds
        return seconds, speed, (self._loader.waiting - self._waited) / seconds

    def _write(self, line: dict[str, Any]) -> None:
        if self._journal:
            self._journal.write(line)

    def _say(self, words: str) -> None:
        if self._speaks:
            self._bar.console.print(words, highlight=False, soft_wrap=True)

    def _say_epoch(self, epoch: int, training: dict[str, float], result: Evaluation | None) -> None:
        words = f"epoch {epoch}: loss {training['loss']:.4f}, top-1 error {training['top1_error']:.4f}"
        if result:
            words += f"; validation loss {result.loss:.4f}, top-1 error {result.top1_error:.4f}"
        words += f" ({self._speed:.0f} images/s, {self._waiting:.0%} of the time waiting for data)"
        if result and result.answered == 1 and self._classes > 1:
            words += (
                "\nalexnet: every validation image got the same answer; if that stays so, train for more epochs "
                "(--epochs), or lower the rate."
            )
        self._say(words)

    def _warn_if_stuck(self, loss: float, step: int) -> None:
        chance = math.log(self._classes)
        if loss > 0.99 * chance:
            self._say(
                f"alexnet: after {step} steps the loss is {loss:.3f}, no better than guessing (ln {self._classes} = "
                f"{chance:.3f}): try another "
                "--optimiser.learning-rate, --model.initialisation.weights he, or --views.divisor deviation."
            )
