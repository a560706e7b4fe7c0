"""The loop: batches in, updates, records, evaluations and checkpoints out. It knows nothing of the method."""

import dataclasses
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

import minida
from minida import distributed
from minida.config import Config
from minida.data import Augmentation, TrainingBatches, evaluation_batches
from minida.data.protocols import open_datasets
from minida.data.pseudo import PseudoLabelled, coverage, store_labels
from minida.device import describe_device, faster_in_bfloat16, move, resolve_device, to_device, versions
from minida.evaluation import Report, evaluate
from minida.labeling import LabelingStrategy
from minida.methods import METHODS, Method, configure
from minida.models import BiSeNet
from minida.runs import RunFolder, interruptible, progress_of, refuse_other_run
from minida.schedule import Stage, check_batches, stage_at, stages
from minida.storage import check_classes, initialise, load, save_model, save_part, write_json
from minida.types import Batch

CHECKPOINT_SECONDS = 60  # a killed run loses at most this much
Callback = Callable[[int, dict[str, Any]], None]


@dataclass(frozen=True)
class Result:
    """What a training returns."""

    model: BiSeNet  # in evaluation mode, on the device it was trained on
    history: list[dict[str, Any]]  # one record a log step: step, loss, lr, seconds; miou after an evaluation
    report: Report  # on the val split of the evaluated data set
    folder: Path  # the run folder


class Trainer:
    """One run: builds everything from a configuration, trains, keeps the run folder.

    Everything random depends on (seed, step), so a checkpoint is weights, optimiser state and a step number, and a
    resumed run ends with the weights of an uninterrupted one (bit for bit in one process on a CPU). Of several
    processes (minida.distributed) each works on its share; all decide alike, and the first one writes and speaks.
    A method may run through its steps in several rounds, before which its model labels the target.
    """

    def __init__(
        self, config: Config, folder: RunFolder, callback: Callback | None = None, progress: bool = True,
        strategy: LabelingStrategy | None = None,
    ) -> None:  # fmt: skip
        self.device = resolve_device(config.device)
        if config.precision == "auto":
            precision = "bfloat16" if faster_in_bfloat16(self.device) else "float32"
            config = dataclasses.replace(config, precision=precision)
        self.speaks = distributed.rank() == 0
        self.config, self.folder, self.callback, self.progress = config, folder, callback, progress and self.speaks
        self.given = {} if strategy is None else {"strategy": strategy}
        distributed.check_batch_size(config.batch_size)
        self.data = open_datasets(config, METHODS[config.method].uses_target)
        resumed = folder.checkpoint.exists()
        if config.teacher is not None and not resumed:  # its mistakes show before a training
            check_classes(config.teacher, self.data.source.table)
        self.method = self._build_method(config.init, resumed)
        self.stages = stages(config, self.method.rounds(config), self.method.batch_sizes)
        for stage in self.stages:
            target = self.data.target if self.method.sees_target(stage.number) else None
            check_batches(config, stage, self.data.source, target)
        self.total = self.stages[-1].start + self.stages[-1].phase.steps
        self.round_steps = self.total // self.method.rounds(config)
        self.step, self.seconds, self.waited, self.history = 0, 0.0, 0.0, []
        self.labelled: PseudoLabelled | None = None
        self.not_finite: dict[str, Tensor] = {}  # by loss term: the first step at which it was no number

    def _build_method(self, init: str | None, resumed: bool = False) -> Method:
        """Networks with their initial weights; `resumed`: those of a checkpoint will replace them."""
        config, table = self.config, self.data.source.table
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            weights, embedding = None if resumed else config.weights, METHODS[config.method].embedding(config)
            model = BiSeNet(len(table.names), config.backbone, weights, embedding)
        if init is not None and not resumed:
            message = initialise(model, init, table)
            if self.progress:
                tqdm.write(message, file=sys.stderr)
        model = to_device(distributed.synchronised(model, self.device), self.device)
        method = METHODS[config.method](config, model, **self.given)
        if distributed.active():
            for optimizer in method.optimizers.values():
                optimizer.register_step_pre_hook(distributed.average_gradients)
        return method

    def run(self, resume: bool = False) -> Result:
        """Train to the end (from the checkpoint, where `resume` finds one) and write the result."""
        if self.method.wants_frequency:
            self.data.source.prepare()
            self.method.begin(self.data.source.class_frequency())
        if distributed.broadcast(resume and self.folder.checkpoint.exists()):
            self._resume()
        elif self.speaks:
            self.folder.begin(dataclasses.asdict(self.config))
        bar = tqdm(total=self.total, initial=self.step, unit="step", disable=not self.progress)
        bar.set_description(self.folder.path.name)
        with bar:
            while self.step < self.total:
                stage = stage_at(self.stages, self.step)
                batches = self._begin_stage(stage)
                with interruptible() as interrupted:  # before, Ctrl-C ends all at once
                    self._train_stage(batches, stage, interrupted, bar)
        return self._finish()

    def _train_stage(self, batches: TrainingBatches, stage: Stage, interrupted: threading.Event, bar: tqdm) -> None:
        saved = asked = time.perf_counter()
        started = saved - self.seconds
        for batch in batches:
            self.waited += time.perf_counter() - asked
            self.method.schedule(stage.phase.shown + (self.step - stage.start) * stage.phase.pace)
            self._update(Batch(*(move(part, self.device) for part in batch)))
            last, end = self.step % self.round_steps == 0, self.step == stage.start + stage.phase.steps
            self.seconds = time.perf_counter() - started
            if last or self.step % self.config.log_every == 0 or self.step % self.config.eval_every == 0:
                self._log(bar)
            bar.update()
            overdue = self.speaks and time.perf_counter() - saved > CHECKPOINT_SECONDS
            stop, save = distributed.any_process(interrupted.is_set(), end or overdue)
            if stop or save:
                self._save_checkpoint()
                saved = time.perf_counter()
            if stop and self.step < self.total:
                raise KeyboardInterrupt(f"stopped after step {self.step}; resume {self.folder.path} to go on")
            if end:
                return
            asked = time.perf_counter()

    def _begin_stage(self, stage: Stage) -> TrainingBatches:
        """Resize, paint or label all that the stage needs; its batches from the current step on."""
        config, number, target = self.config, stage.number, self.data.target
        self.data.evaluation.prepare(labels=False)
        self.data.source.prepare()
        if target is not None:
            target.prepare(labels=False)
        started = time.perf_counter()
        if not self.method.sees_target(number):
            target = None
        elif self.method.progress(number) is not None:
            target = self._labelled_target(number)
        augmentation = Augmentation(
            stage.phase.size, scale=config.scale, jitter=config.jitter, blur=config.blur, noise=config.noise,
            fill=self.method.fills_crops, strength=self.method.augmentation_strength(number),
        )  # fmt: skip
        batches = TrainingBatches(
            self.data.source, target, batch_size=stage.batch_sizes, augmentation=augmentation, seed=config.seed,
            workers=config.workers, start=self.step, centroids=config.centroids, first=stage.first, drawn=stage.drawn,
        )  # fmt: skip
        self.seconds += time.perf_counter() - started
        return batches

    def _labelled_target(self, number: int) -> PseudoLabelled:
        """The target with the labels of round `number`, made where they are not there yet; and its student."""
        path, fresh = self.folder.pseudo_labels(number), self.step % self.round_steps == 0
        if self.labelled is not None and self.labelled.path == path:  # in an earlier stage of this round
            return self.labelled
        if not fresh and not distributed.broadcast(path.exists()):  # the model is a student already
            raise ValueError(f"{path} is missing, and its teacher is no more; delete the run and start again")
        self.labelled = store_labels(self.data.target, path, lambda: self._pseudo_labels(number))
        if fresh and self.config.student == "scratch":
            self.method = self._build_method(self.config.init if self.config.teacher else None)
        return self.labelled

    def _pseudo_labels(self, number: int) -> Iterator[Tensor]:
        batches = evaluation_batches(self.data.target, workers=self.config.workers, with_labels=False)
        teacher = self.method.model
        if self.config.teacher is not None and self.method.progress(number) == 0:
            teacher = to_device(load(self.config.teacher), self.device)
        return self.method.pseudo_labels(teacher, number, batches, self.data.source.class_frequency(), self.progress)

    def _update(self, batch: Batch) -> None:
        self.losses = self.method.step(batch)
        self.step += 1
        for name, value in self.losses.items():  # on the device: no synchronisation
            first = self.not_finite.get(name, torch.zeros((), dtype=torch.long, device=value.device))
            self.not_finite[name] = torch.where((first == 0) & ~value.isfinite(), self.step, first)

    def _check_finite(self) -> None:
        broken = {name: int(step) for name, step in self.not_finite.items() if int(step)}
        if broken:
            name = min(broken, key=broken.get)
            rates = {key: each.param_groups[0]["initial_lr"] for key, each in self.method.optimizers.items()}
            named = ", ".join(f"{rate:g}" + f" of the {key}" * (len(rates) > 1) for key, rate in rates.items())
            raise FloatingPointError(
                f"loss term {name!r} stopped being a number at step {broken[name]}; "
                f"lower the learning rate ({named}) or set precision=float32"
            )

    def _log(self, bar: tqdm) -> None:
        self._check_finite()
        lr = next(iter(self.method.optimizers.values())).param_groups[0]["lr"]
        losses = {name: distributed.average(value).item() for name, value in self.losses.items()}
        record = {"step": self.step, **losses, "lr": lr, "seconds": round(self.seconds, 2)}
        shown = {"loss": f"{record['loss']:.3f}"}
        if self.step % self.config.eval_every == 0 or self.step % self.round_steps == 0:
            self.report = self._evaluate()
            record["miou"], record["pixel_accuracy"] = self.report.miou, self.report.pixel_accuracy
        scores = [old["miou"] for old in (*self.history, record) if old.get("miou") is not None]
        if scores:
            shown["mIoU"] = f"{100 * scores[-1]:.1f}"
        bar.set_postfix(shown)
        self.history.append(record)
        if self.speaks:
            self.folder.append_history(record)
        if self.speaks and self.callback is not None:
            self.callback(self.step, record)

    def _evaluate(self) -> Report:
        distributed.average_statistics(self.method.networks.values())
        config, data = self.config, self.data.evaluation
        return evaluate(self.method.model, data, precision=config.precision, workers=config.workers)

    def _save_checkpoint(self) -> None:
        self._check_finite()  # never write weights that are no numbers
        distributed.average_statistics(self.method.networks.values())
        spent = {"seconds": self.seconds, "waited": self.waited}
        state = {"step": self.step, **spent, "method": self.method.state_dict()}
        if self.speaks:
            self.folder.save_checkpoint(state)

    def _resume(self) -> None:
        state = distributed.broadcast(self.folder.load_checkpoint() if self.speaks else None)
        try:
            self.method.load_state_dict(state["method"])
            self.step, self.seconds, self.waited = progress_of(state, self.total)
        except Exception as error:  # each part has its own; one line of them
            raise self.folder.refusal("does not fit this run", error) from None
        self.history = distributed.broadcast(self.folder.read_history(self.step) if self.speaks else None)

    def _finish(self) -> Result:
        model, source = self.method.model.eval(), self.data.source
        if not hasattr(self, "report"):  # a finished run was resumed
            self.report = self._evaluate()
        if self.speaks:
            for name, network in self.method.networks.items():
                file = self.folder.path / f"{name}.safetensors"
                if isinstance(network, BiSeNet):
                    save_model(file, network, source.table, source.class_frequency(), self.config.size)
                else:
                    save_part(file, network)
            write_json(self.folder.result, self.record())
        return Result(model, self.history, self.report, self.folder.path)

    def record(self) -> dict[str, Any]:
        """The run as one record of results: what it was, what it cost, what it reached."""
        labelled = [
            path for path in map(self.folder.pseudo_labels, range(self.total // self.round_steps)) if path.exists()
        ]
        kept = (
            "method", "protocol", "preset", "seed", "steps", "source", "target", "labeled", "backbone", "size",
            "centroids", "crops", "warmup",
        )  # fmt: skip
        return {
            **{name: getattr(self.config, name) for name in (*kept, "weights", "init")},
            **self.method.record(),
            **({"coverage": [coverage(path) for path in labelled]} if labelled else {}),
            "optimizer": self.config.optimizer,
            "lr": self.config.learning_rate,
            "batch_size": self.config.batch_size,
            "processes": distributed.world_size(),
            "precision": self.config.precision,
            "seconds": round(self.seconds, 1),
            "waiting": round(self.waited / self.seconds, 3),  # share of them, for the next batch
            "device": describe_device(self.device),
            "versions": {"minida": minida.__version__, **versions()},
            **dataclasses.asdict(self.report),
        }  # fmt: skip


def train(
    name: str,
    preset: str = "cpu",
    *,
    out: str | Path | None = None,
    resume: bool = False,
    callback: Callback | None = None,
    progress: bool = True,
    **overrides: Any,
) -> Result:
    """Train a method and return its model, history, report and run folder.

    Args:
        name: a method, such as "supervised".
        preset: "smoke", "notebook", "cpu" or "gpu"; `overrides` replace its fields (see minida.config.Config). A
            `strategy` may be an instance, which then labels in every round.
        out: the run folder; default: a new one under `runs/`, named after method, source and time.
        resume: go on from the checkpoint in `out`; the weights end as those of an uninterrupted run.
        callback: called as callback(step, record) at every log step, in the first process alone: of what is
            collective (minida.evaluate, a loss) it must call nothing where several train together.

    Raises:
        ValueError: unknown method, preset or option; a run folder that holds a run (unless resumed) or, resumed,
            one with another configuration; data that cannot be read.
        FloatingPointError: a loss stopped being a number.
        KeyboardInterrupt: stopped by Ctrl-C or kill, after a checkpoint was written.
    """
    strategy = overrides.get("strategy")
    if isinstance(strategy, LabelingStrategy):
        overrides["strategy"] = type(strategy).__name__
    else:
        strategy = None
    config = configure(name, preset, **overrides)
    if out is None:
        source = re.sub(r"[^\w.]+", "-", config.source.partition(":")[2].partition("?")[0]).strip("-.") or "data"
        out = Path("runs") / f"{name}-{source}-{datetime.now():%Y%m%d-%H%M%S-%f}"
    with distributed.process_group():
        folder = RunFolder(distributed.broadcast(out))
        if distributed.rank() == 0:
            refuse_other_run(folder, resume)
        trainer = Trainer(config, folder, callback, progress, strategy)
        with folder.lock() if trainer.speaks else nullcontext():
            if trainer.speaks:
                refuse_other_run(folder, resume, trainer.config)
            return trainer.run(resume)
