"""The compact table of ARM operations that the coverage report is made from, derived from the contract data.

`python tests/az/operations.py` writes it anew; `test_contract.py` says when that is needed.
"""

import json
import re
from pathlib import Path

from support import shared_arm

TABLE = Path(__file__).resolve().parents[2] / "crates/server/tests/data/arm-operations.tsv"

HEADER = """\
# Operations of Azure Resource Manager: provider, operation, method, path, newest stable api-version, planned (+) or not (-).
# An operation is planned when an official example of its type was chosen for Sekisho's contract.
# Written by tests/az/operations.py. Derived from https://github.com/Azure/azure-rest-api-specs as of 2024-10-30, under
# the MIT licence, Copyright (c) Microsoft Corporation:
# Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
# documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
# rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
# persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright notice and
# this permission notice shall be included in all copies or substantial portions of the Software. THE SOFTWARE IS PROVIDED
# "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
# MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS
# BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
# OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def outermost(path):
    """The provider and outermost type that a path is about; the path itself where it names none."""
    if "/providers/" not in path:
        return re.sub(r"\{[^}]+\}", "{}", path.rstrip("/")).lower()
    namespace, *rest = path.rsplit("/providers/", 1)[1].split("/")
    return f"{namespace}/{rest[0] if rest else ''}".lower()


def table():
    planned = {outermost(r["path"]) for r in json.loads((shared_arm() / "index.json").read_text())}
    out = [HEADER]
    for line in (shared_arm() / "operations.jsonl").read_text().splitlines():
        row = json.loads(line)
        # What goes on with a page that another operation began has no path of its own.
        if not row["path"].startswith("/"):
            continue
        path = row["path"].split("?")[0]
        sign = "+" if outermost(path) in planned else "-"
        out.append("\t".join([row["spec"], row["operationId"], row["method"], path, row["apiVersion"], sign]) + "\n")
    return "".join(out)


if __name__ == "__main__":
    TABLE.write_text(table())
