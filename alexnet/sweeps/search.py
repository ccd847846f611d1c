"""Settings proposed by Optuna from the errors so far; those that fall behind are ended. Needs the extra `sweep`.

The study lies in a file of its own beside the runs, which several processes, also of several machines that see the
folder, share. What a trial draws is a function of its number and of the results known by then.
"""

import hashlib
import json
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from alexnet import config
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.sweeps import settings
from alexnet.sweeps.outcome import Row
from alexnet.sweeps.plan import Plan
from alexnet.sweeps.settings import Span, Value
from alexnet.sweeps.trial import Epochs
from alexnet.training.finished import lighten
from alexnet.training.train import Stopped

if TYPE_CHECKING:
    import optuna

_FIRST = 5  # as many settings train to their end before any other is ended early
_WARMUP = 5  # and none is ended before a fifth of its epochs
_BROKEN = 1.0  # what the search is told of a run that broke: as bad as never being right


def search(plan: Plan, count: int) -> list[Row]:
    """A row for each setting tried to its end, by this process or others, in the order of their beginnings.

    What others are still trying has none. Several processes may each begin a last one, so that `count` is exceeded by
    a few.

    Raises:
        InputError: Optuna is missing.
        Stopped: a signal came; the next call goes on with the same setting.
    """
    study = _study(plan)
    _revive(study)
    for name, values in plan.fields.items():
        if isinstance(values, Span):
            kind = "log-uniform" if values.log else "uniform"
            plan.say(f"{settings.shown(name)}: {kind} from {values.low:g} to {values.high:g}")
    while _begun(study) < count:
        _try(study, plan)
    return _rows(study)


def _try(study: "optuna.Study", plan: Plan) -> None:
    """Nothing; one more setting is tried, its first seed ended where it falls behind."""
    import optuna

    proposed = study.ask()
    proposed.set_user_attr("process", [socket.gethostname(), os.getpid()])
    study.sampler = _sampler(proposed.number)
    setting = {name: _suggested(proposed, name, values) for name, values in plan.fields.items()}

    def stop(epochs: Epochs) -> bool:
        proposed.report(float(epochs[-1]["validation"]["top1_error"]), len(epochs))
        return proposed.should_prune()

    try:
        trials = [plan.trial(setting, 0, stop)]
        if trials[0].state == "finished":
            trials += [plan.trial(setting, seed) for seed in range(1, plan.seeds)]
    except BaseException as error:
        study.tell(proposed, state=optuna.trial.TrialState.FAIL)
        if isinstance(error, Stopped | KeyboardInterrupt):
            study.enqueue_trial(proposed.params)
        raise
    row = Row.of(trials)
    proposed.set_user_attr("row", config.to_json(row))
    if row.state == "pruned":
        lighten(trials[0].run)  # nobody goes on with it
        study.tell(proposed, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(proposed, _BROKEN if row.mean is None else row.mean)


def _study(plan: Plan) -> "optuna.Study":
    """The study of this search in its folder, begun or found there."""
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise InputError("a search needs Optuna: pip install 'alexnet[sweep]'; a grid does without.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan.out.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(plan.out / "study.journal")))
    fingerprint = PreparedSet.open(plan.data).fingerprint
    decides = [config.to_json(plan.base), fingerprint, config.to_json(plan.fields), plan.seeds]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    warmup = plan.base.schedule.epochs // _WARMUP
    return optuna.create_study(
        storage=storage,
        study_name=f"{plan.base.name}-{digest[:8]}",
        sampler=_sampler(0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_FIRST, n_warmup_steps=warmup),
        direction="minimize",
        load_if_exists=True,
    )


def _sampler(number: int) -> "optuna.samplers.TPESampler":
    """The sampler of the trial `number`: processes that begin at once draw differently."""
    import optuna

    return optuna.samplers.TPESampler(seed=int(np.random.SeedSequence([2012, number]).generate_state(1)[0]))


def _suggested(proposed: "optuna.Trial", name: str, values: Span | Sequence[Value]) -> Value:
    if not isinstance(values, Span):
        return proposed.suggest_categorical(name, list(values))
    if values.whole:
        return proposed.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return proposed.suggest_float(name, values.low, values.high, log=values.log)


def _rows(study: "optuna.Study") -> list[Row]:
    """The rows of what was tried to its end; what was killed between its row and its end is tried again."""
    import optuna

    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    kept = [one.user_attrs["row"] for one in study.get_trials(states=ended)]
    return [config.from_json(Row, row, "row") for row in kept]


def _begun(study: "optuna.Study") -> int:
    """How many settings are being tried or were."""
    import optuna

    passed = (optuna.trial.TrialState.FAIL, optuna.trial.TrialState.WAITING)
    return sum(one.state not in passed for one in study.trials)


def _revive(study: "optuna.Study") -> None:
    """Nothing; settings whose process on this machine was killed are tried again, going on with their runs."""
    import optuna

    for one in study.trials:
        host, process = one.user_attrs.get("process", (None, 0))
        if one.state == optuna.trial.TrialState.RUNNING and host == socket.gethostname() and not _lives(process):
            try:
                study.tell(one.number, state=optuna.trial.TrialState.FAIL)
            except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
                continue  # another process that began at the same time has seen to it
            study.enqueue_trial(one.params)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
