"""The command line: verbs and their options. Loads nothing heavy until a verb runs."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Optional, Union

from ms_restore import cli_verbs
from ms_restore.cli_help import WITHOUT_RECIPE, RecipeHelp, completion, epilog
from ms_restore.cli_options import for_train, recipe_settings, split_at_dashes, tile_of
from ms_restore.errors import InputError, did_you_mean
from ms_restore.inference.engine_selection import ENGINES
from ms_restore.version import __version__


class _Parser(argparse.ArgumentParser):
    """One line for a slip, with the nearest verb or option."""

    def error(self, message: str) -> NoReturn:
        _fail(self.prog, message)


def _fail(prog: str, *problems: str) -> NoReturn:
    with contextlib.suppress(OSError):  # the exit code tells, where the stream cannot be written
        for problem in problems:
            print(f"{prog}: error: {_one_line(problem)}", file=sys.stderr)
    raise SystemExit(2)


def _one_line(text: str) -> str:
    r"""Return a text with \n, \x1b and so on in place of control characters, as in file names."""
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], text)


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run one verb; InputError becomes one line for each problem and exit code 2.

    Characters that the terminal's encoding does not have, such as those of file names that are not
    UTF-8, are printed with a backslash. Where the reader of a pipe goes away, the exit code is 141.
    What is printed to a stream that is closed goes nowhere.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")  # 50 ms, to look for none
    gc.set_threshold(50_000)  # what is imported stays; to look through it again takes 35 ms
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            _run(arguments)
        finally:
            sys.stdout.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.filename is None:  # of standard output
            _drop_output()
        if isinstance(error, BrokenPipeError):
            raise SystemExit(_BROKEN_PIPE) from None
        where = "the output" if error.filename is None else error.filename
        _fail("ms-restore", f"{where}: {error.strerror}")


def _open_closed_streams() -> None:
    """Open the standard streams that are closed, as a file would else be opened in their place."""
    while True:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened > 2:
            os.close(opened)
            break
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 (it stays open)


def _drop_output() -> None:
    """Let what is still to be printed go nowhere, as it would fail once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Optional[Sequence[str]]) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    given, passed_on = split_at_dashes(given)
    parser, verbs = _parser()
    if given and not given[0].startswith("-") and given[0] not in verbs:
        _fail(parser.prog, f"unknown verb {given[0]!r}{did_you_mean(given[0], verbs)}; see --help")
    options, rest = parser.parse_known_args(given)
    if options.verb is None:
        parser.print_help()
        return
    verb = verbs[options.verb]
    try:
        named = {key: value for key, value in vars(options).items() if key not in ("verb", "run")}
        _refuse_empty(named)
        if options.verb not in WITHOUT_RECIPE:
            named["settings"] = recipe_settings(rest, verb)
        elif options.verb == "launch":
            named["passed_on"] = for_train(rest, verb, verbs["train"]) + (passed_on or [])
        elif rest:
            hint = did_you_mean(rest[0], verb._option_string_actions)
            raise InputError(f"unknown option {rest[0]}{hint}; see --help")
        options.run(**named)
    except InputError as error:
        _fail(verb.prog, *error.problems)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "mindspore":
            raise
        _fail(
            verb.prog,
            "this needs MindSpore, which is not installed here (pip install mindspore); without "
            "it, infer, eval and restore take exported .onnx files, and checkpoints that have "
            "their kept export beside them",
        )
    except UnicodeEncodeError as error:
        _fail(verb.prog, f"{error.object!r:.200}: a name that is not UTF-8; rename it")
    except KeyboardInterrupt:
        print(f"{verb.prog}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _refuse_empty(named: dict[str, Any]) -> None:
    """Raise InputError for options without text, as a shell's unset variable gives.

    An empty path would be the folder that the shell is in.
    """
    empty = [
        f"--{key}: got an empty text; name something, or leave the option out"
        for key, value in named.items()
        if key != "name_suffix" and (value == "" or (isinstance(value, list) and "" in value))
    ]
    if empty:
        raise InputError(*empty)


def _parser() -> tuple[_Parser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="ms-restore",
        description="Image restoration for MindSpore.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ms-restore {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    recipe_keys = (
        "Any key of the recipe is an option too, for example --train.lr 5e-4 or "
        "--network.blocks 8; `ms-restore train --help-recipe` lists them."
    )

    def verb(name: str, help: str, run: Any, *notes: str) -> argparse.ArgumentParser:
        added = subparsers.add_parser(
            name,
            help=help,
            description=f"{help}.",
            epilog=epilog(name, *(notes or ([] if name in WITHOUT_RECIPE else [recipe_keys]))),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        added.set_defaults(run=run)
        return added

    train = verb("train", "train a model", cli_verbs.train)
    train.add_argument("--model", help="name of a model, or a recipe file")
    train.add_argument("--data_dir", help="folder of training images (none: embedded photos)")
    train.add_argument("--output_dir", help="run folder (default runs/MODEL)")
    train.add_argument("--max_steps", type=int, help="end after this step; the schedule stays")
    train.add_argument("--pretrained", help="weights to start from, as far as they fit")
    train.add_argument("--resume", metavar="RUN", help="run folder, or an earlier checkpoint in it")
    train.add_argument(
        "--allow_changes", action="store_true", help="resume with other settings or images"
    )
    train.add_argument("--performance", action="store_true", help="only measure images/s")
    train.add_argument(
        "--logger", default="jsonl", help="jsonl, tensorboard, wandb, mlflow (mindinsight: old)"
    )
    train.add_argument("--profile", metavar="A:B", help="profile these steps into RUN/profile")
    train.add_argument("--seed", type=int, help="seed of weights, data order and noise")
    train.add_argument(
        "--help-recipe",
        action=RecipeHelp,
        dest=argparse.SUPPRESS,
        help="print all keys of a recipe",
    )

    prepare = verb("prepare", "write images as MindRecord, for faster training", cli_verbs.prepare)
    prepare.add_argument("--model", required=True, help="whose training the images are for")
    prepare.add_argument(
        "--source", required=True, help="folder of images, volumes, raw files; train.h5, .pkl"
    )
    prepare.add_argument("--output", required=True, help="folder to write")
    prepare.add_argument("--lr_source", help="folder of low-resolution images (none: made on read)")
    prepare.add_argument("--limit", type=int, help="at most N images (scenes), for a trial")
    prepare.add_argument("--skip_bad", action="store_true", help="leave out what cannot be used")
    prepare.add_argument("--workers", type=int, help="threads that decode (default: processors)")

    evaluate = verb("eval", "score a checkpoint on clean images", cli_verbs.evaluate)
    _add_checkpoint(evaluate)
    evaluate.add_argument("--data_dir", help="folder of clean images (none: held-out photos)")
    evaluate.add_argument("--protocol", help="how figures are computed (default: the recipe's)")
    evaluate.add_argument(
        "--metrics",
        default="psnr,ssim",
        help="of psnr, ssim, niqe, lpips; the first one leads (default: psnr,ssim)",
    )
    evaluate.add_argument("--output_dir", help="where to write (default: eval/ by the checkpoint)")
    evaluate.add_argument("--seed", type=int, help="seed of the evaluation noise")
    evaluate.add_argument("--kernels", help="of a solver's blur: file or name; every one in turn")

    infer = verb("infer", "restore a picture or a folder of pictures", cli_verbs.infer)
    _add_checkpoint(infer)
    infer.add_argument("--input", required=True, nargs="+", help="pictures, or folders of them")
    infer.add_argument("--output", required=True, help="file or folder to write")
    infer.add_argument("--recursive", action="store_true", help="pictures of subfolders too")
    infer.add_argument("--format", help="of a folder's files: png (default), jpg, webp or tif")
    infer.add_argument("--name_suffix", default="", help="added to a folder's files: _x2")
    infer.add_argument("--sigma_255", type=_sigma, help="noise that the model is told, or auto")
    infer.add_argument("--sigma_map", help="the same for each pixel: .npy or gray picture")
    infer.add_argument("--ratio", type=float, help="raw files: how many times as long an exposure")
    infer.add_argument("--bits", type=int, default=8, help="raw files: 8 (default) or 16")
    infer.add_argument(
        "--overwrite", action="store_true", help="of a folder: restore all of it again"
    )

    restore = verb(
        "restore", "undo a known degradation, with a denoiser as prior", cli_verbs.restore
    )
    restore.add_argument(
        "--task", required=True, help="deblur, super_resolve, demosaic, inpaint or denoise"
    )
    restore.add_argument("--prior", help="checkpoint or run folder of a denoiser (none: ours)")
    restore.add_argument("--input", required=True, help="picture, folder, or .npy in [0, 1]")
    restore.add_argument("--output", required=True, help="file or folder to write")
    restore.add_argument("--kernel", help="file, gaussian:1.6, motion:15:30 or disk:3")
    restore.add_argument("--scale", type=int, help="of super_resolve: 2, 3, 4")
    restore.add_argument("--pattern", help="of demosaic: RGGB (default), BGGR, GRBG, GBRG")
    restore.add_argument("--mask", help="of inpaint: picture, white where the input is known")
    restore.add_argument("--sigma_255", type=float, help="the input's noise, of 255")
    restore.add_argument("--noise_blind", action="store_true", help="estimate the noise")
    restore.add_argument("--same_size", action="store_true", help="of deblur: cut to the input")
    restore.add_argument("--truth", help="the clean picture, to print PSNR")
    restore.add_argument("--save_trajectory", metavar="FILE", help="picture of the iterations")
    restore.add_argument("--seed", type=int, default=0, help="seed of the solver's noise")
    restore.add_argument("--solver", default="auto", help="dmsp, dpir or auto: by the prior")
    restore.add_argument("--model", help="recipe of a solver")

    export = verb("export", "write a trained network for deployment", cli_verbs.export)
    _add_checkpoint(export)
    export.add_argument("--file_name", required=True, help="file to write")
    export.add_argument(
        "--file_format", help="MINDIR, ONNX or NCNN (default: the suffix, else MINDIR)"
    )
    export.add_argument("--height", type=int, help="the only height it takes (none: any)")
    export.add_argument("--width", type=int, help="the only width it takes")

    report = verb("report", "write a page of a training run or of an eval", cli_verbs.report)
    report.add_argument("folder", help="run folder, or the folder of an eval")

    demo = verb("demo", "restore pictures on a page in the browser", cli_verbs.demo)
    demo.add_argument("--host", default="127.0.0.1", help="address (default: this machine's own)")
    demo.add_argument("--port", type=int, default=8600, help="default 8600; 0: any free one")
    demo.add_argument("--checkpoint", nargs="+", help="files or run folders to offer beside ours")
    demo.add_argument("--output_dir", help="folder where results stay (none: they are removed)")
    demo.add_argument("--max_megapixels", type=int, default=16, help="of a picture (default 16)")
    demo.add_argument("--open", action="store_true", help="open the page in a browser")

    convert = verb(
        "convert", "turn published weights into a checkpoint, or back", cli_verbs.convert
    )
    convert.add_argument("--source", required=True, help=".pth .safetensors .npz .mat, or .ckpt")
    convert.add_argument("--output", required=True, help=".ckpt, or .safetensors with --to torch")
    convert.add_argument("--model", help="which model the weights are (default: by their shapes)")
    convert.add_argument("--to", choices=("mindspore", "torch"), default="mindspore")

    benchmark = verb("benchmark", "measure a model on this device", cli_verbs.benchmark)
    benchmark.add_argument("--model", required=True, help="name of a model, or a recipe file")
    benchmark.add_argument("--data_dir", help="folder of training images (none: embedded photos)")
    benchmark.add_argument("--output", default="benchmark.json", help="file of the figures")
    benchmark.add_argument("--max_steps", type=int, help="training steps (default 30)")
    benchmark.add_argument("--seed", type=int, help="seed of weights, data order and noise")
    benchmark.add_argument(
        "--engines", nargs="+", metavar="NAME", help="compare these: all, or mindspore, ncnn, ..."
    )

    for added in (train, evaluate, infer, restore, export, demo, benchmark):
        added.add_argument("--device_target", help="CPU, Ascend or GPU (default: Ascend if found)")
        added.add_argument("--device_id", type=int, help="which device (default: DEVICE_ID, or 0)")
    for added in (evaluate, infer, restore, demo):
        added.add_argument("--engine", choices=ENGINES, default="auto", help="what computes")
        added.add_argument(
            "--vulkan",
            dest="device_target",
            action="store_const",
            const="GPU",
            help="with --engine ncnn: on a GPU (the same as --device_target GPU)",
        )
    for added in (evaluate, infer):
        added.add_argument(
            "--tile",
            type=tile_of,
            metavar="SIDE[:CONTEXT]",
            help="side of a tile in pixels, 0: one piece; :32 takes less context (default: auto)",
        )
        added.add_argument(
            "--self_ensemble", action="store_true", help="mean over 8 flips and rotations"
        )
        added.add_argument(
            "--luma", action="store_true", help="gray model: brightness of colour pictures"
        )
    for added in (train, evaluate, infer, restore):
        added.add_argument("--mode", choices=("graph", "pynative"), default="graph")

    to_train = (
        "Options of train, such as --model M or --train.lr 5e-4, are passed on to every process; "
        "`ms-restore train --help` lists them. After the word -- all options are train's."
    )
    launch = verb(
        "launch", "train on several devices, one process each", cli_verbs.launch, to_train
    )
    launch.add_argument("--rank_table", help="HCCL rank table: its devices of this server")
    launch.add_argument("--workers", type=int, help="by msrun: number of processes on this host")
    launch.add_argument("--server_id", help="this server's name in the table (default: found)")
    launch.add_argument("--nodes", type=int, default=1, help="msrun: hosts in all (default 1)")
    launch.add_argument("--node_rank", type=int, default=0, help="msrun: number of this host")
    launch.add_argument("--master_addr", help="msrun: address of host 0 (default: the table's)")
    launch.add_argument("--master_port", type=int, default=8118, help="msrun: port of host 0")
    launch.add_argument(
        "--bind_core", nargs="?", const="True", help="msrun: cores of its own for every rank"
    )
    launch.add_argument(
        "--cluster_time_out", type=int, help="msrun: seconds to wait for all ranks (default 600)"
    )
    launch.add_argument("--log_dir", default="runs/ranks", help="folder of the ranks' logs")
    launch.add_argument("--dry_run", action="store_true", help="print what would be started")

    table = verb("rank-table", "write the HCCL rank table of this server", cli_verbs.rank_table)
    table.add_argument("--devices", default="0-7", help="such as 0-7 or 0,2 (default 0-7)")
    table.add_argument("--output", default="rank_table.json", help="file to write")
    table.add_argument("--server_id", help="this server's address (default: found)")

    models = verb("models", "list the models, or print one's recipe", cli_verbs.models)
    models.add_argument("--model", help="print this model's whole recipe")
    models.add_argument("--network", help="list models of this network or solver alone")
    models.add_argument("--weights", choices=("here", "download", "yours"), help="alone these")

    weights = verb("weights", "list published weights, or download a model's", cli_verbs.weights)
    weights.add_argument(
        "--download", metavar="MODEL", help="fetch and convert this model's weights"
    )
    weights.add_argument("--yes", action="store_true", help="do not ask whether to download")

    doctor = verb("doctor", "say what is wrong here, and what mends it", cli_verbs.doctor)
    doctor.add_argument("--data_dir", help="also examine this folder of pictures or prepared set")
    doctor.add_argument("--checkpoint", help="also this checkpoint, run folder or model's name")
    doctor.add_argument("--json", action="store_true", help="print JSON")

    tab = verb("completion", "print a script that completes by Tab", _print_completion)
    tab.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="whose Tab key")
    return parser, dict(subparsers.choices)


_BROKEN_PIPE = 128 + 13  # the shell's exit code of SIGPIPE


def _print_completion(shell: str) -> None:
    print(completion(shell, *_parser()))


def _sigma(word: str) -> Union[float, str]:
    """A standard deviation, or the word that asks for an estimate."""
    if word == "auto":
        return word
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {word!r}, expected auto or a number") from None


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", help="checkpoint file or run folder (none: the weights of --model)"
    )
    parser.add_argument("--model", help="name of the model (default: the checkpoint's own)")


if __name__ == "__main__":
    main()
