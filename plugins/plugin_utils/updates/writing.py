# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two plugins share that write versions: the file, the diff, and what is said of it.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible import context

from ansible_collections.myia.vllm.plugins.plugin_utils.updates import inventory_file


def written(result: dict, variables: dict, where: str, task_vars: dict, check_mode: bool, why: str) -> str:
    """Write variables where somebody wants them; fill ``changed``, ``diff`` and ``file`` of a result.

    Args:
        result: of the plugin.
        variables: what to write.
        where: of ``inventory_file.place``.
        task_vars: the variables of the host.
        check_mode: whether only the change is predicted.
        why: the playbook that writes.

    Returns:
        What was done, as a sentence with a space before it; empty where nothing was to be written.
    """
    result.update(changed=False, file="")
    if not where or not variables:
        return ""
    sources = [source for source in context.CLIARGS.get("inventory") or () if "," not in source]
    several = bool(task_vars.get("vllm_services")) or bool(task_vars.get("vllm_neighbours"))
    job = any(task_vars.get(name) for name in ("awx_job_id", "tower_job_id"))
    path, reason = inventory_file.place(where, task_vars["inventory_hostname"], sources, several, job)
    if not path:
        return " Not written: %s." % reason
    try:
        before, after = inventory_file.changed(path, variables, why)
        result.update(changed=before != after, file=path)
        result["diff"] = {"before": before, "after": after, "before_header": path, "after_header": path}
        if before != after and not check_mode:
            inventory_file.write(path, after)
    except (OSError, ValueError) as error:
        result.update(failed=True, changed=False)
        return " Not written: %s" % error
    if before == after:
        return " %s has them already." % path
    return " %s %s." % ("Would be written to" if check_mode else "Written to", path)
