"""Worlds decided by Cedar: one JSON object with what a decision takes and how often the answers differ.

Reading policies and entities is left out: Cedar itself says how long the decision alone took.
"""

import json
import statistics
import sys

import cedarpy

took, different, allowed = [], 0, 0
for file in sys.argv[1:]:
    world = json.load(open(file, encoding="utf-8"))
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
    took += [answer.metrics["authz_duration_micros"] for answer in answers]
    for answer, question in zip(answers, questions, strict=True):
        says = answer.decision is cedarpy.Decision.Allow
        allowed += says
        if says != question["allowed"]:
            different += 1
            print(f"{file}: Cedar says {answer.decision} to {question}", file=sys.stderr)
print(json.dumps({"p50Us": statistics.median(took), "answers": len(took), "allowed": allowed, "different": different}))
sys.exit(different != 0)
