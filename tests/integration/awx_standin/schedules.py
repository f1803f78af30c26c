# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX 24.6.1 checks of the rule of a schedule, in its words."""

from __future__ import annotations

import datetime
import re
import zoneinfo

from awx_standin.refused import Refused

# --- schedules: SchedulePreviewSerializer.validate_rrule, Schedule.coerce_naive_until ---
_RULE_PARTS = re.compile(
    r"^(FREQ|INTERVAL|COUNT|UNTIL|WKST|BYSETPOS|BYMONTH|BYMONTHDAY|BYYEARDAY|BYWEEKNO|BYDAY|BYHOUR|BYMINUTE|BYSECOND)="
    r"[A-Z0-9,+-]+$"
)


def _parse_error(rule: str) -> str:
    """What dateutil would stumble over: the zone, the date, the parts of each rule; "" for nothing."""
    start = re.search(r"DTSTART(?:;TZID=([^:]+))?:(\d{8}T\d{6})(Z?)(?=\s|$)", rule)
    if not start:
        return "unsupported DTSTART"
    if start.group(1) and start.group(1) not in zoneinfo.available_timezones():
        return "A valid TZID must be provided (e.g., America/New_York)"
    try:
        datetime.datetime.strptime(start.group(2), "%Y%m%dT%H%M%S")
    except ValueError as error:
        return str(error)
    for text in re.findall(r"(?:EX|R)RULE:(\S*)", rule):
        for part in text.split(";"):
            if not _RULE_PARTS.match(part):
                return "unknown parameter '%s'" % part.partition("=")[0]
        if not re.search(r"(^|;)FREQ=(YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY|MINUTELY|SECONDLY)(;|$)", text):
            return "invalid 'FREQ'"
    return ""


def check_rrule(rule: str) -> str:
    """Check the rule of a schedule.

    Returns:
        The rule as AWX stores it: an UNTIL without Z is a time of DTSTART's zone and becomes one of UTC.

    Raises:
        Refused: With AWX's {"rrule": [text]}.
    """
    for word in ("EXDATE", "RDATE"):
        if "%s:" % word.lower() in rule.lower():
            raise Refused({"rrule": ["%s not allowed in rrule." % word]})
    errors = []
    starts = re.findall(r"DTSTART(?:;[^:]+)?:[0-9]+T[0-9]+Z?", rule)
    if not starts:
        errors.append("Valid DTSTART required in rrule. Value should start with: DTSTART:YYYYMMDDTHHMMSSZ")
    if re.search(r"DTSTART:[0-9]+T[0-9]+ ", rule):
        errors.append("DTSTART cannot be a naive datetime.  Specify ;TZINFO= or YYYYMMDDTHHMMSSZZ.")
    if len(starts) > 1:
        errors.append("Multiple DTSTART is not supported.")
    if "rrule:" not in rule.lower():
        errors.append("One or more rule required in rrule.")
    for one in re.findall(r"RULE:\S*", rule):
        if "interval" not in one.lower():
            errors.append("INTERVAL required in rrule: %s" % one)
        elif "secondly" in one.lower():
            errors.append("SECONDLY is not supported: %s" % one)
        if re.search(r"BYDAY[:=][0-9]+[a-zA-Z]{2}", one):
            errors.append("BYDAY with numeric prefix not supported: %s" % one)
        if "COUNT" in one and "UNTIL" in one:
            errors.append("RRULE may not contain both COUNT and UNTIL: %s" % one)
        count = re.search(r"COUNT=([0-9]+)", one)
        if count and int(count.group(1)) > 999:
            errors.append("COUNT > 999 is unsupported: %s" % one)
    wrong = _parse_error(rule)
    if wrong:
        errors.append("rrule parsing failed validation: %s" % wrong)
    if errors:
        raise Refused({"rrule": errors})
    return re.sub(r"UNTIL=(\d{8}T\d{6})(?!Z)", lambda found: _until_in_utc(found.group(1), rule), rule)


def _until_in_utc(until: str, rule: str) -> str:
    zone = re.search(r"DTSTART;TZID=([^:]+):", rule)
    local = datetime.datetime.strptime(until, "%Y%m%dT%H%M%S").replace(
        tzinfo=zoneinfo.ZoneInfo(zone.group(1) if zone else "UTC")
    )
    return "UNTIL=%s" % local.astimezone(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
