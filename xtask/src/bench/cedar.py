"""The same world decided by Cedar: one JSON object with what a decision takes and how often the answers differ.

Reading policies and entities is left out: Cedar itself says how long the decision alone took.
"""

import json
import statistics
import sys

import cedarpy

world = json.load(open(sys.argv[1], encoding="utf-8"))
questions = world["questions"]
requests = [
    {
        "principal": f'Who::"{q["who"]}"',
        "action": f'Action::"{q["operation"]}"',
        "resource": f'Scope::"{q["at"]}"',
        "context": {},
    }
    for q in questions
]
answers = cedarpy.is_authorized_batch(requests, world["policies"], world["entities"])
took = [answer.metrics["authz_duration_micros"] for answer in answers]
different = sum(
    (answer.decision is cedarpy.Decision.Allow) != question["allowed"]
    for answer, question in zip(answers, questions, strict=True)
)
print(json.dumps({"p50Us": statistics.median(took), "answers": len(answers), "different": different}))
