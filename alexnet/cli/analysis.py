"""show, summary, report."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

import alexnet
from alexnet import drawing
from alexnet.analysis.figure2 import figure2
from alexnet.analysis.show import Kind, images_to_see
from alexnet.cli import terminal

Run = Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
Images = Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="[IMAGE ...]", help_behavior_hint="")]]


def report(arguments: list[str]) -> int:
    """`alexnet report RUN`."""

    def command(run: Run) -> int:
        """Draw the figures and report.html of a run anew, also while it is being trained.

        Example: `alexnet report runs/one`.

        Args:
            run: the run's folder.
        """
        alexnet.report(run)
        print(run / "report.html")
        return 0

    return terminal.parse(command, arguments, "report")


def show(arguments: list[str]) -> int:
    """`alexnet show RUN KIND [IMAGE ...]`."""

    def command(
        run: Run,
        kind: Positional[Kind],
        images: Images = (),
        *,
        stage: str | None = None,
        label: str | None = None,
        data: Path | None = None,
        split: str | None = None,
        only_errors: terminal.Flag = False,
        best: terminal.Flag = False,
        device: str = "auto",
        out: Path | None = None,
    ) -> int:
        """Draw a figure of a run or classifier; its path is printed.

        Examples: `alexnet show runs/one kernels`, `alexnet show cifar10 saliency picture.jpg --out evidence.pdf`,
        `alexnet show runs/one predictions --only-errors`, `alexnet show runs/one units --stage conv5`.
        kernels: the first convolution's, a block a tower; --stage for a deeper row's. curves: loss and errors over
        the epochs. predictions: eight pictures with their five best labels. stages: the maps of --stage for a picture,
        or the strongest after every rectifier. confusion: which class was taken for which. units: the nine patches
        that excite the strongest units of --stage most. saliency: where in a picture the evidence for its best label,
        or for --label, lies.

        Args:
            run: a run's folder, a classifier file, or the name of one that comes with the package.
            kind: kernels, curves, predictions, stages, confusion, units or saliency.
            images: photographs, or folders of them; without any, pictures of the prepared set.
            stage: a stage by its name, such as conv5 (`alexnet summary RUN` lists them).
            label: of saliency, another class than the most probable one, by its name or one of its words.
            data: the prepared set; by default the one that the run learnt from.
            split: which of its splits (default: val).
            only_errors: of predictions, those that are wrong.
            best: take a run's classifier at its lowest validation error, not the last.
            device: auto (the best there is), cpu, cuda, cuda:1 or mps.
            out: the file, .png, .svg or .pdf (default: RUN-KIND.png here).
        """
        parts = [run.resolve().stem, kind, *(part.replace("/", "-") for part in (stage, label) if part)]
        file = out or Path("-".join(parts) + ".png")
        drawing.require_kind(file)
        with terminal.bar("looking", images_to_see(run, kind, images, data, split or "val"), "images") as progress:
            figure = alexnet.show(
                run,
                kind,
                images,
                stage=stage,
                label=label,
                data=data,
                split=split,
                only_errors=only_errors,
                best=best,
                device=device,
                progress=progress,
            )
        drawing.save(figure, file)
        print(file)
        return 0

    return terminal.parse(command, arguments, "show")


def summary(arguments: list[str]) -> int:
    """`alexnet summary RECIPE|RUN`."""

    def command(
        source: Positional[Annotated[str, tyro.conf.arg(metavar="RECIPE|RUN")]],
        *,
        figure: Path | None = None,
        json: terminal.Flag = False,
    ) -> int:
        """Tell what each row of a network is: output, parameters, multiply-adds, receptive field and stride in pixels.

        Examples: `alexnet summary paper-2012`, `alexnet summary runs/one --figure figure2.svg`.
        Of a row held by two towers, numbers of one tower stand before those of both.

        Args:
            source: a recipe (a name from `alexnet recipes`, or a recipe.json), a run's folder, a classifier file, or
                the name of one that comes with the package.
            figure: draw the network as the paper's figure 2 into this file, .png, .svg or .pdf.
            json: print one JSON object and nothing else.
        """
        if figure is not None:
            drawing.require_kind(figure)
        found = alexnet.summary(source)
        if figure is not None:
            drawing.save(figure2(found), figure)
            terminal.note(f"figure  {figure}")
        if json:
            terminal.print_json(found.to_json())
        else:
            print(found)
        return 0

    return terminal.parse(command, arguments, "summary")
