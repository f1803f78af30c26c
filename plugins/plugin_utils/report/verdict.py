# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in one word and one sentence what a run came to.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import duration
from ansible_collections.myia.vllm.plugins.plugin_utils.report import state_verdict

#: The verdicts: id -> (tone, title). The tones are good, warn, bad and neutral.
VERDICTS = {
    "deployed": ("good", "Deployed"),
    "nothing_to_do": ("good", "Nothing to do"),
    "part_done": ("neutral", "Ran in part"),
    "rolled_back": ("good", "Rolled back"),
    "started": ("good", "Started"),
    "restarted": ("good", "Restarted"),
    "stopped": ("neutral", "Stopped"),
    "verified": ("good", "Verified"),
    "benchmarked": ("good", "Benchmarked"),
    "healthy": ("good", "Healthy"),
    "healthy_restarted": ("warn", "Healthy, but was restarted"),
    "planned": ("good", "Planned"),
    "plan_uncertain": ("warn", "Planned, uncertain"),
    "would_change": ("neutral", "Would change"),
    "would_not_change": ("neutral", "Would change nothing"),
    "refused": ("bad", "Refused by preflight"),
    "failed_went_back": ("warn", "Failed, went back"),
    "failed_still_serves": ("warn", "Failed, still serves"),
    "failed_nothing_serves": ("bad", "Failed, nothing serves"),
    "failed_unseen": ("bad", "Failed"),
    "verification_failed": ("bad", "Verification failed"),
    "benchmark_failed": ("bad", "Benchmark failed"),
    "host_not_fit": ("warn", "Serves, but not for long"),
    "last_release_failed": ("warn", "Serves, the last release failed"),
    "serves_nothing": ("bad", "Nothing serves"),
    "locked": ("warn", "Another run deploys"),
    "unreachable": ("bad", "Host unreachable"),
}


#: The task that refuses a run while another one deploys the service (roles/vllm_service/tasks/deploy.yml).
LOCK_TASK = "Acquire the lock"

#: Said of a host that gave no answer.
UNREACHABLE = "The host could not be reached; what it serves now is not known."


def verdict(run: str, check_mode: bool, results: dict, snapshot: dict, failure: dict) -> dict:
    """Return ``{id, tone, title, sentence}``.

    Args:
        run: ``deploy``, ``rollback``, ``stop``, ``start``, ``restart``, ``verify``, ``benchmark``, ``diagnose`` or
            ``plan``.
        check_mode: whether nothing was to be changed.
        results: what the roles returned, by variable name; each may be missing.
        snapshot: what the module ``service_snapshot_info`` returned; empty when it could not look.
        failure: ``message`` and ``task`` of the task that ended the run; empty when none did.
    """
    judge = _judged_state if run in state_verdict.RUNS else _judged
    name, sentence = judge(run, check_mode, results, snapshot, failure)
    tone, title = VERDICTS[name]
    return {"id": name, "tone": tone, "title": title, "sentence": sentence}


def wanted_release(results: dict) -> str:
    """Return the name of the release that the run was to bring into service; empty when it never came so far."""
    return _release(results, "vllm_config_result").get("name", "")


def current_release(snapshot: dict) -> dict:
    """Return what the host says of its current release; empty without one."""
    return next((item for item in snapshot.get("releases") or [] if item.get("current")), {})


def last_failed(snapshot: dict) -> dict:
    """Return the release that failed last, when no other was made and brought into service since; empty without one."""
    failed = [item for item in snapshot.get("releases") or [] if (item.get("failure") or {}).get("id")]
    last = max(failed, key=lambda item: str(item["failure"].get("at", "")), default={})
    now = current_release(snapshot)
    since = now.get("good") and str(now.get("created", "")) > str((last.get("failure") or {}).get("at", ""))
    return {} if last.get("current") or since else last


def refused(results: dict) -> list[dict]:
    """Return the findings for which preflight refuses the deployment; empty when it does not."""
    preflight = results.get("vllm_preflight_result") or {}
    if not preflight.get("refused"):
        return []
    return [item for item in preflight.get("findings") or [] if not item["ok"] and item["severity"] == "error"]


def _release(results: dict, name: str) -> dict:
    return (results.get(name) or {}).get("release") or {}


def _judged_state(run: str, check_mode: bool, results: dict, snapshot: dict, failure: dict) -> tuple[str, str]:
    """Judge a run that stopped or started the service."""
    if snapshot.get("unreachable"):
        return "unreachable", UNREACHABLE
    if str(failure.get("task") or "").startswith(LOCK_TASK):
        return _locked(snapshot, failure)
    return state_verdict.judged(run, check_mode, results, snapshot, failure)


def _judged(run: str, check_mode: bool, results: dict, snapshot: dict, failure: dict) -> tuple[str, str]:
    preflight, verify = results.get("vllm_preflight_result") or {}, results.get("vllm_verify_result") or {}
    if preflight.get("unreachable") or snapshot.get("unreachable"):
        return "unreachable", UNREACHABLE
    findings, run = refused(results), _kind(run, results)
    if run == "diagnose":
        return _diagnosed(check_mode, findings, results, snapshot, failure)
    if findings and (failure or run == "plan" or check_mode):
        return "refused", _refused(findings, bool(failure) and run != "plan")
    if run in ("benchmark", "verify", "plan"):
        judge, result = {
            "benchmark": (_benchmark, results.get("vllm_benchmark_result") or {}),
            "verify": (_verify, verify),
            "plan": (_plan, preflight),
        }[run]
        skipped = check_mode and not failure and run != "plan"
        return _would_ask(run, result) if skipped else judge(result, failure, snapshot)
    if failure:
        return _ended(check_mode, results, snapshot, failure)
    return _would(results, snapshot) if check_mode else _done(run, results, snapshot, verify)


def _ended(check_mode: bool, results: dict, snapshot: dict, failure: dict) -> tuple[str, str]:
    """Judge a run about a release that a failure ended."""
    if str(failure.get("task") or "").startswith(LOCK_TASK):
        return _locked(snapshot, failure)
    if check_mode:
        return _failed_check(snapshot)
    return _failed(results, snapshot, results.get("vllm_verify_result") or {})


def _kind(run: str, results: dict) -> str:
    """Return what a run was; a deployment that only verified or measured, by its tags, counts as such a run."""
    if run == "deploy" and not wanted_release(results) and not results.get("vllm_service_result"):
        asked = [kind for kind in ("benchmark", "verify") if results.get("vllm_%s_result" % kind)]
        return [*asked, run][0]
    return run


def _would_ask(run: str, result: dict) -> tuple[str, str]:
    if run == "benchmark":
        profile = result.get("profile", "")
        return "would_change", "A run without check mode would measure the service%s; nothing was asked of it." % (
            " by the profile %s" % profile if profile else "")  # fmt: skip
    if run == "diagnose":
        return "would_not_change", "A run without check mode would look at the service; it was not asked."
    return "would_not_change", "A run without check mode would verify the service; nothing was asked of it."


def _refused(findings: list[dict], ended: bool) -> str:
    named = ", ".join(item["id"] for item in findings)
    some = "%d check%s failed (%s)" % (len(findings), "" if len(findings) == 1 else "s", named)
    return "%s; nothing was changed." % some if ended else "A deployment would be refused: %s." % some


def _plan(preflight: dict, failure: dict, _snapshot: dict) -> tuple[str, str]:
    if failure:
        return "failed_unseen", "The plan could not be made."
    capacity = preflight.get("capacity") or {}
    if capacity.get("fits") == "yes":
        return "planned", "A deployment would go on: the model fits, and every required check passed."
    if capacity:
        return "plan_uncertain", "A deployment would go on, but the plan cannot say for certain that the model fits."
    reason = str(preflight.get("no_capacity") or "").strip().rstrip(".")
    return "planned", "A deployment would go on; there is no plan of GPU memory%s." % (
        " (%s)" % reason if reason else ""
    )


def _diagnosed(check_mode: bool, findings: list[dict], results: dict, snapshot: dict, failure: dict) -> tuple[str, str]:
    if check_mode and not failure:
        return _would_ask("diagnose", {})
    refused_today = "preflight would refuse it today (%s)" % ", ".join(item["id"] for item in findings)
    if snapshot.get("stopped"):
        return state_verdict.stopped(snapshot, ", and %s" % refused_today if findings else "")
    if not _serving(snapshot):
        named = ((results.get("vllm_health_result") or {}).get("diagnosis") or {}).get("id", "")
        also = ", and %s" % refused_today if findings else ""
        return "serves_nothing", "Nothing answers%s%s.%s" % (" (%s)" % named if named else "", also, _last(snapshot))
    if findings:
        return "host_not_fit", "Release %s answers, but %s: its next start may fail.%s" % (
            _serving(snapshot),
            refused_today,
            _last(snapshot),
        )
    if failure:
        return "failed_still_serves", "The run failed, but release %s answers." % _serving(snapshot)
    return _healthy(snapshot)


def _healthy(snapshot: dict) -> tuple[str, str]:
    """Judge a service that answers on a host that suits it, by what happened since its release was accepted."""
    restarted, last = _restarted(snapshot), _last(snapshot)
    name = "healthy_restarted" if restarted else "last_release_failed" if last else "healthy"
    how = "but %s" % restarted if restarted else "and the host has what it needs"
    return name, "Release %s answers, %s.%s" % (_serving(snapshot), how, last)


def _last(snapshot: dict) -> str:
    """Return a sentence on the release that failed last, with a space before it; empty without one."""
    last = last_failed(snapshot)
    if not last:
        return ""
    log = "; its log on the host: %s" % last["log"] if last.get("log") else ""
    return " Release %s did not come into service (%s)%s." % (last["name"], last["failure"]["id"], log)


def _restarted(snapshot: dict) -> str:
    """Return how a container that serves was started again since its release was accepted; empty when it was not."""
    container = snapshot.get("container") or {}
    # both in UTC; Docker's time has fractions of a second
    since, started = (str(item or "")[:19] for item in (
        current_release(snapshot).get("good_since"), container.get("started_at")))  # fmt: skip
    count = container.get("restart_count") or 0
    if count:
        return "Docker restarted it %s since it was started, at last at %s: %s (docker logs --until %sZ %s)" % (
            "once" if count == 1 else "%d times" % count, started, _crash(container.get("crash")), started,
            container.get("name", ""),
        )  # fmt: skip
    # the way back from a release that failed starts an older one again
    if since and started > since and not last_failed(snapshot):
        return "it was started again at %s, by hand or with the engine or host" % started
    return ""


def _crash(crash: dict | None) -> str:
    """Return of what a container ended by itself, as far as its log says it."""
    if crash is None:
        return "it had ended by itself; the log says why"
    if crash["id"] == "unknown":
        return "it had ended by a failure that is not known: %s" % " / ".join(crash["evidence"][-2:])
    if crash["id"]:
        return "it had ended of %s: %s" % (crash["id"], crash["cause"].rstrip("."))
    return "it had ended, and its log shows no failure, as when it is killed from outside"


def _verify(verify: dict, failure: dict, snapshot: dict) -> tuple[str, str]:
    counts = verify.get("counts") or {}
    if snapshot.get("stopped"):
        return state_verdict.stopped(snapshot, "; there was nothing to verify")
    if failure or not verify.get("ok"):
        if not counts.get("failed"):
            return "verification_failed", "The service could not be verified."
        total = sum(counts.values())
        return "verification_failed", "%d of %d checks failed that the service has to pass." % (counts["failed"], total)
    return "verified", _checks(counts)


def _checks(counts: dict) -> str:
    more = ["%d %s" % (counts[key], word) for key, word in (("warned", "gave a warning"), ("skipped", "skipped"))
            if counts.get(key)]  # fmt: skip
    return ", ".join(["%s%d checks passed" % ("" if more else "All ", counts.get("passed", 0)), *more]) + "."


def _benchmark(bench: dict, failure: dict, snapshot: dict) -> tuple[str, str]:
    if snapshot.get("stopped"):
        return state_verdict.stopped(snapshot, "; there was nothing to measure")
    runs = bench.get("runs") or []
    if failure or not bench.get("ok"):
        good = sum(1 for item in runs if item.get("ok"))
        return "benchmark_failed", (
            "%d of %d runs gave a result." % (good, len(runs)) if runs else "The benchmark gave no result."
        )
    compared = ""
    if bench.get("compared"):
        worse = sum(1 for row in bench["compared"].get("rows") or [] if row.get("worse"))
        figures = "nothing is" if not worse else "1 figure is" if worse == 1 else "%d figures are" % worse
        compared = "; %s worse than in the last good run" % figures
    some = "%d run%s" % (len(runs), "" if len(runs) == 1 else "s")
    return "benchmarked", "Profile %s, %s%s." % (bench.get("profile", "?"), some, compared)


def _serving(snapshot: dict) -> str:
    """Return what answers now, the name of its release where it is known; empty when nothing does."""
    name = current_release(snapshot).get("name", "")
    return (name or "of unknown name") if snapshot.get("healthy") else ""


def _locked(snapshot: dict, failure: dict) -> tuple[str, str]:
    holder = str(failure.get("message") or "").partition(" Nothing was changed")[0].strip()
    now = "; release %s answers" % _serving(snapshot) if _serving(snapshot) else ""
    return "locked", "%s This run changed nothing%s." % (holder, now)


def _failed(results: dict, snapshot: dict, verify: dict) -> tuple[str, str]:
    wanted, serving = wanted_release(results), _serving(snapshot)
    unverified = verify.get("ok") is False
    what = "The run failed before there was a new release"
    if wanted:
        what = "Release %s %s" % (wanted, "failed its verification" if unverified else "did not come into service")
    if not snapshot:
        return "failed_unseen", "%s, and the host could not be asked what serves now." % what
    if not serving:
        return "failed_nothing_serves", "%s, and nothing answers now." % what
    if serving == wanted and unverified:
        return "verification_failed", "%s, and it still answers." % what
    if serving == wanted:
        return "failed_still_serves", "The run failed, but release %s answers." % wanted
    if wanted and _release(results, "vllm_service_result").get("name") == serving:
        return "failed_went_back", "%s; release %s serves again." % (what, serving)
    return "failed_still_serves", "%s; release %s still serves." % (what, serving)


def _failed_check(snapshot: dict) -> tuple[str, str]:
    what, serving = "The check failed; nothing was changed", _serving(snapshot)
    if serving:
        return "failed_still_serves", "%s, and release %s answers." % (what, serving)
    return "failed_unseen", "%s%s." % (what, ", and nothing answers now" if snapshot else "")


def _would(results: dict, snapshot: dict) -> tuple[str, str]:
    config, service = results.get("vllm_config_result") or {}, results.get("vllm_service_result") or {}
    engine = (results.get("docker_engine_result") or {}).get("engine") or {}
    would = []
    if engine and not (engine.get("engine_sufficient") and engine.get("compose_sufficient")):
        would.append("install or upgrade Docker")
    if config.get("changed"):
        would.append("deploy a new release")
    elif service.get("changed") or service.get("would_change"):
        would.append("bring release %s into service" % _release(results, "vllm_service_result").get("name", "?"))
    elif not (config.get("release") or {}).get("current", True):
        would.append("switch to release %s" % wanted_release(results))
    if snapshot.get("stopped"):
        would.append("start the service, which was stopped on purpose")
    if not would:
        return "would_not_change", "A run without check mode would change nothing."
    return "would_change", "A run without check mode would %s; nothing was changed." % " and ".join(would)


def _done(run: str, results: dict, snapshot: dict, verify: dict) -> tuple[str, str]:
    service, health = results.get("vllm_service_result") or {}, results.get("vllm_health_result") or {}
    if not service:
        return _part_done(results, snapshot)
    name = _release(results, "vllm_service_result").get("name") or current_release(snapshot).get("name", "")
    serves = "Release %s" % name if name else "The service"
    total_s = (health.get("start") or {}).get("total_s")
    took = " after a start of %s" % duration(total_s) if total_s else ""
    down_s = (current_release(snapshot).get("start") or {}).get("downtime_s")
    if took and down_s is not None:
        took += "; nothing was answered for %s" % duration(down_s)
    checked = ""
    if verify.get("counts"):
        checked = " " + _checks(verify["counts"])
    if run == "rollback":
        if service.get("changed") or health.get("start"):
            return "rolled_back", "%s serves%s.%s" % (serves, took, checked)
    elif (results.get("vllm_config_result") or {}).get("changed") or health.get("start") or _switched(service):
        return "deployed", "%s serves%s.%s" % (serves, took, checked)
    return "nothing_to_do", "%s serves already, as it should.%s" % (serves, checked)


def _part_done(results: dict, snapshot: dict) -> tuple[str, str]:
    """Judge a run whose tags left out the role that brings a release into service."""
    staged, serving = wanted_release(results), _serving(snapshot)
    what = "Release %s is staged" % staged if staged and staged != serving else "The service was not touched"
    return "part_done", "%s; %s." % (what, "release %s answers" % serving if serving else "nothing answers")


def _switched(service: dict) -> bool:
    """Tell whether ``vllm_service`` did more than delete old releases."""
    return any(not line.endswith(": deleted") for line in service.get("summary") or [])
