"""The alert rules fire on trends and on what is broken, and spikes pass: `promtool` says so."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

SHIPPED = Path(__file__).parents[2] / "deploy" / "observability"


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: in the package prometheus)")
    return subprocess.run(
        [found, *arguments], cwd=SHIPPED, capture_output=True, text=True, check=False
    )


def test_the_rules_are_valid():
    done = promtool("check", "rules", "alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_tell_a_trend_from_a_spike():
    done = promtool("test", "rules", "alerts.test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_firing_and_seen_silent():
    rules = yaml.safe_load((SHIPPED / "alerts.yaml").read_text())["groups"]
    tests = yaml.safe_load((SHIPPED / "alerts.test.yaml").read_text())["tests"]
    alerts = {rule["alert"] for group in rules for rule in group["rules"]}
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts
