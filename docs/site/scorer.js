/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is searched for comes first where it is a heading itself: each variable and each failure has one. The rest is
 * scored as Sphinx does.
 */
"use strict";

var Scorer = {
  score: ([_page, title, _anchor, _description, score, _file, kind]) => {
    const wanted = (new URLSearchParams(window.location.search).get("q") || "").trim().toLowerCase();
    // failures have a number in parentheses behind their names
    const heading = title.split(" > ").pop().toLowerCase().replace(/ \(\w+\)$/, "");
    return kind === "title" && heading === wanted ? score + 1000 : score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
