"""`holdfast recheck RUN [MODEL]`: ask the model about every stored adversarial input, and verify every file."""

import dataclasses
import json
from typing import Annotated

import typer

from holdfast.cli import options
from holdfast.cli.codes import ExitCode
from holdfast.cli.subject import load_both, remembered
from holdfast.cli.terminal import clean, emit
from holdfast.core.errors import IntegrityError

SHOWN = 20


def command(
    run: options.Run,
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="Where it is not the one the run remembers.")] = "",
    data: Annotated[str, typer.Argument(metavar="[DATA]", help="Its data, likewise.")] = "",
    split: options.Split = "",
    bounds: options.Bounds = "",
    schema: options.Schema = "",
    label: options.Label = "",
    threshold: options.Threshold = "",
    trust: options.Trust = "",
    batch: options.Batch = 256,
    as_json: options.Json = False,
    quiet: options.Quiet = 0,
    debug: options.Debug = False,
) -> int:
    """Verify every file and stored claim of RUN, on its model. Exit code 4 where one does not hold."""
    from holdfast.evaluation.manifest import keys_of
    from holdfast.evaluation.rebuilt import UNSEEN
    from holdfast.evaluation.replay import recheck
    from holdfast.evaluation.store import Folder
    from holdfast.report.words import counted

    folder = Folder(run)
    words = remembered(folder, model, data, split, bounds, schema, label, threshold)
    subject, dataset = load_both(words, trust)
    missing = set(folder.manifest.samples.keys) - set(keys_of(dataset.digests))
    if missing:
        raise IntegrityError(
            "HF412",
            "Samples of the run are not in these data, so nothing could be measured against them",
            seen=f"{len(missing)} of {len(folder.manifest.samples.keys)} missing in {dataset.name}",
            fix="give the data of the run",
        )
    found = recheck(folder, subject, dataset, batch)
    if as_json:
        emit(json.dumps({"schema": "urn:holdfast:recheck:1", "holds": found.holds, **dataclasses.asdict(found)}))
    elif quiet < 2:
        whole = "; files unchanged, table and summary as the parts say" if not found.damage and not found.left else ""
        whole = whole or ("; files unchanged" if not found.damage else "")
        lines = [
            f"{found.claims - len(found.failed)} of {found.claims} stored adversarial inputs hold: decision wrong and "
            f"accepted, inside the threat{whole}"
        ]
        lines += [f"  sample {claim.sample} under {claim.threat}: {claim.why}" for claim in found.failed[:SHOWN]]
        lines += _rest(len(found.failed))
        if found.damage:
            lines.append(f"What the folder says does not hold, {counted(len(found.damage), 'finding')}:")
        lines += [f"  {line}" for line in found.damage[:SHOWN]]
        lines += _rest(len(found.damage))
        lines.append(f"Not verified: {'; '.join((*found.left, UNSEEN))}.")
        emit(clean("\n".join(lines)))
    return ExitCode.PASSED if found.holds else ExitCode.UNTRUSTWORTHY


def _rest(count: int) -> list[str]:
    """A line about what is not shown."""
    return [f"  and {count - SHOWN} more"] if count > SHOWN else []
