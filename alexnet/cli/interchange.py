"""export, import."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

import alexnet
from alexnet.cli import terminal
from alexnet.data.shards import PreparedSet
from alexnet.errors import counted
from alexnet.interchange.export import Exported, Format
from alexnet.interchange.import_weights import Imported
from alexnet.interchange.recognise import NetworkName

Run = Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
File = Positional[Annotated[Path, tyro.conf.arg(metavar="FILE")]]


def export(arguments: list[str]) -> int:
    """`alexnet export RUN FILE`."""

    def command(
        run: Run,
        file: File,
        *,
        format: Format | None = None,
        half: terminal.Flag = False,
        data: Path | None = None,
        stage: tuple[str, ...] = (),
        best: terminal.Flag = False,
        json: terminal.Flag = False,
    ) -> int:
        """Write a classifier for other programs; what was written is read back and compared, or nothing is left.

        Examples: `alexnet export runs/one one.onnx`, `alexnet export runs/one one.npz`.
        .safetensors is a classifier file, .pth torchvision's state dict (one tower), .npz Caffe's blobs, .onnx a graph
        from stored pictures to probabilities, run by onnxruntime beside PyTorch on real pictures before it is kept.

        Args:
            run: a run's folder, a classifier file (a run's weights.safetensors), or the name of one that ships
                (cifar10).
            file: what to write.
            format: what to write it as, where the suffix does not say.
            half: store weights in float16, half the size, and measure what that costs on the validation split.
            data: the prepared set or folder of photographs to check on; by default the set that the run learnt from.
            stage: of ONNX, stages to give besides the probabilities (relu7 pool5 ...).
            best: take the run's classifier at its lowest validation error, not the last.
            json: print one JSON object and nothing else.
        """
        with terminal.bar("measuring float16", _images(data) if half else 0, "images") as progress:
            found = alexnet.export(run, file, format, half=half, data=data, stages=stage, best=best, progress=progress)
        terminal.print_json(found.to_json()) if json else _tell_export(found)
        return 0

    return terminal.parse(command, arguments, "export")


def import_weights(arguments: list[str]) -> int:
    """`alexnet import FILE RUN`."""

    def command(
        file: File,
        run: Run,
        *,
        classes: Path | None = None,
        features_only: terminal.Flag = False,
        network: NetworkName | None = None,
        data: Path | None = None,
        json: terminal.Flag = False,
    ) -> int:
        """Make a classifier of weights from elsewhere: torchvision's, Caffe's, convolutions alone, or an export.

        Examples: `alexnet import alexnet-owt-7be5be79.pth runs/torchvision`,
        `alexnet import bvlc_alexnet.caffemodel runs/caffe --data photographs`.
        Nothing in the file is run: of a .pth only tensors are taken, sizes are checked before anything is unpacked.

        Args:
            file: .pth, .safetensors, .caffemodel, .npz or .onnx.
            run: the folder to make; it works wherever a RUN does.
            classes: a text file with the classes' names, a line an output; ILSVRC's thousand come with the package.
            features_only: take the convolutions alone and draw the rest fresh, to fine-tune.
            network: bvlc_alexnet or caffenet, where the file does not tell them apart.
            data: a prepared set or a folder of photographs to try it on.
            json: print one JSON object and nothing else.
        """
        found = alexnet.import_weights(
            file, run, classes=classes, features_only=features_only, network=network, data=data
        )
        terminal.print_json(found.to_json()) if json else _tell_import(found)
        return 0

    return terminal.parse(command, arguments, "import")


def _images(data: Path | None) -> int:
    """How many images the two measurements will take; 0 where that is not known yet."""
    if data is None or not (data / "dataset.json").is_file():
        return 0
    return 2 * PreparedSet.open(data).counts.get("val", 0)


def _tell_export(found: Exported) -> None:
    print(f"{found.file}  {found.format}, {found.bytes / 1e6:.1f} MB")
    if found.checked:
        checked = found.checked
        print(f"checked      onnxruntime beside PyTorch on {checked.pictures}")
        print(f"             {checked.same_top1} of {checked.images} same first answers")
        print(f"             largest difference of a probability {checked.largest:.2g}")
        for name, difference in checked.stages.items():
            print(f"             {name}: largest difference {difference:.2g} of its largest value")
    else:
        print("checked      read back, bit for bit")
    if found.cost:
        cost = found.cost
        print(
            f"float16      top-1 error {cost.half_top1_error:.4f} where float32 has {cost.top1_error:.4f}; "
            f"{counted(cost.changed, 'answer')} of {cost.images:,} changed"
        )
    for sentence in found.notes:
        terminal.note(f"note: {sentence}")


def _tell_import(found: Imported) -> None:
    kernels, seen, public = found.kernels, found.seen, found.published
    print(
        f"{found.run}  {found.network}, {found.parameters:,} parameters, {counted(found.classes, 'class', 'classes')}"
    )
    if public:
        print(f"known        {public.file}: {public.top1} % and {public.top5} % right ({public.source}, centre view)")
    else:
        print(f"known        no (sha256 {found.sha256[:16]}...)")
    print(f"kernels      {kernels.slow:.2f} of their power in slow waves; noise has {kernels.noise:.2f}")
    print(f"tried on     {seen.pictures}")
    print(
        f"             {counted(seen.answers, 'different answer')} of mean probability {seen.confidence:.2f}, "
        f"{seen.active:.0%} of the last convolution's units active"
    )
    if seen.top1_error is not None:
        print(f"             top-1 error {seen.top1_error:.4f}")
    for sentence in found.notes:
        terminal.note(f"note: {sentence}")
