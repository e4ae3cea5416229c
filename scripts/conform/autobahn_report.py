"""Makes a page of text of an Autobahn report: python3 autobahn_report.py FOLDER VERSION ROLE

A line for each group, then one for each case. Fails where a verdict is neither OK nor NON-STRICT
nor INFORMATIONAL.
"""

import collections
import json
import pathlib
import sys

GROUPS = {
    "1": "framing", "2": "pings and pongs", "3": "reserved bits", "4": "opcodes",
    "5": "fragmentation", "6": "UTF-8", "7": "closing", "9": "limits and speed",
    "10": "chopped in pieces", "12": "compression", "13": "compression, parameters",
}
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")

folder, version, role = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
SUITE = {"server": "fuzzingclient", "client": "fuzzingserver"}[role]
OURS = {"server": "echo.rs", "client": "client.rs"}[role]
cases = json.loads((folder / "index.json").read_text())["skywave"]
order = sorted(cases, key=lambda case: [int(part) for part in case.split(".")])
verdicts = [(case, cases[case]["behavior"], cases[case]["behaviorClose"]) for case in order]
groups = collections.OrderedDict()
for case, behavior, _ in verdicts:
    counts = groups.setdefault(case.split(".")[0], collections.Counter())
    counts[behavior] += 1
failed = [case for case, *both in verdicts if any(verdict not in GOOD for verdict in both)]

print(f"Autobahn test suite {version} ({SUITE}) against protocol/ws/examples/{OURS},")
print("made by `cargo xtask conform autobahn`.\n")
print(f"{len(verdicts)} cases, {len(failed)} failed\n")
print(f"{'group':<28}{'OK':>6}{'non-strict':>12}{'informational':>15}{'failed':>8}")
for number, counts in groups.items():
    bad = sum(count for verdict, count in counts.items() if verdict not in GOOD)
    name = f"{number} {GROUPS.get(number, '')}"
    row = [counts[verdict] for verdict in GOOD] + [bad]
    print(f"{name:<28}{row[0]:>6}{row[1]:>12}{row[2]:>15}{row[3]:>8}")
print("\ncase        messages        close")
for case, behavior, close in verdicts:
    print(f"{case:<12}{behavior:<16}{close}")
sys.exit(1 if failed else 0)
