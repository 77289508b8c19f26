"""doctor: what is wrong with an environment, data or a checkpoint, and what mends it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

from ms_restore.report.terminal import say
from ms_restore.verbs.diagnosis import environment
from ms_restore.verbs.diagnosis.finding import Finding

_MARKS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


def doctor(
    data_dir: Optional[str] = None, checkpoint: Optional[str] = None, as_json: bool = False
) -> dict[str, list[Finding]]:
    """Examine the environment and what else is named, and print what is found.

    Args:
        data_dir: a folder of pictures or a prepared set.
        checkpoint: a checkpoint, run folder, exported file, or a model's name.
        as_json: print JSON: by section a list of {"level", "text", "remedy"}.

    Returns the findings by section.
    """
    found = {"environment": list(environment.examine())}
    if data_dir is not None:
        from ms_restore.verbs.diagnosis import data_folder

        found["data"] = list(data_folder.examine(Path(data_dir)))
    if checkpoint is not None:
        from ms_restore.verbs.diagnosis import weights_file

        found["checkpoint"] = list(weights_file.examine(checkpoint))
    if as_json:
        plain = {section: [f._asdict() for f in findings] for section, findings in found.items()}
        say(json.dumps(plain, indent=1))
        return found
    for section, findings in found.items():
        say(f"{section}:")
        for finding in findings:
            say(f"  {_MARKS[finding.level]}  {finding.text}")
            if finding.remedy:
                say(f"           -> {finding.remedy}")
    problems = sum(f.level == "problem" for findings in found.values() for f in findings)
    say(f"{problems} problem{'s' * (problems != 1)} found" if problems else "no problem found")
    return found
