"""`make results`: every experiment, every method, every figure, and the part of a document that shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cfanet.errors import InputError
from training.evaluation.ablation import evaluate_ablation
from training.evaluation.bench import Request
from training.evaluation.document import Cell, Table, as_table, cells, read_document, table_lines
from training.evaluation.donor_file import write_donors
from training.evaluation.figure_style import short
from training.evaluation.figures import MethodRow, draw_experiments, method_rows
from training.evaluation.lfw import evaluate_lfw, prepare_lfw
from training.evaluation.methods import BORROWING
from training.evaluation.not_measured import not_measured_table
from training.evaluation.originals import prepare_originals
from training.evaluation.pairs import first_of_each_fold, read_pairs
from training.evaluation.parallel import Group, run_groups
from training.evaluation.portraits import draw_portraits
from training.evaluation.published import published_tables
from training.evaluation.quality import evaluate_quality
from training.evaluation.quantities import Measured
from training.evaluation.samples import list_samples, list_shards
from training.evaluation.scorecard import condense, plan_experiments

BEGIN, END = "<!-- results: begin; written by `cfanet evaluate results` -->", "<!-- results: end -->"
OLDER = ("mask", "pixelate", "blur", "fixed-pixelate", "fixed-blur", *BORROWING)
EXPERIMENTS = ("lfw", "quality", "control", "diversity", "attributes")
_DETECTORS = ("mtcnn", "dlib-hog")
METHODS = "Each method by what is still matched, kept and found, with 95 % intervals; numbers in the table above."
_PORTRAITS = "Two portraits in the public domain, of NASA and the US Navy; the loop without a gallery."
FIGURES: Mapping[str, Mapping[str, str]] = {
    "Methods": {"before-after": f"The same face by every method that borrows no faces of the data. {_PORTRAITS}"},
    "cfanet evaluate lfw": {
        "similarity": "Similarities of same pairs, untouched and with the right picture anonymized, and of different "
        "people; dashed: the threshold at FAR 1e-3 from all impostor pairs.",
        "det": "Same pairs missed against the false accept rate: an anonymizer wants its curve at the top.",
        "ranks": "Share of probes whose true person is among the first so many of the whole gallery.",
    },
    "cfanet evaluate control": {
        "control": "Similarity with the original by the angle that is asked for; band: the middle 90 % of the faces; "
        "dashed: the recognizer's threshold at FMR 1e-3.",
        "identities": f"Angles and identities, loop off, as in the paper's Figure 3. {_PORTRAITS}",
    },
    "cfanet evaluate attributes": {
        "attributes": "Expression and yaw of each face, before and after; dashed: unchanged.",
        "landmarks": f"68 landmarks before and after. {_PORTRAITS}",
    },
}
_TPR = {"TPR at": "FAR 0.001, all pairs"}


@dataclass(frozen=True)
class ResultsPlan:
    """What `make results` does besides the scorecard."""

    pairs: Path
    methods: tuple[str, ...] = OLDER  # borrowing ones without a file get donors of SRC
    method_pairs: int = 300  # same pairs on which methods are compared
    ablation: Mapping[str, str] = field(default_factory=dict)  # generators by name
    workers: int = 2


def evaluate_results(request: Request, plan: ResultsPlan, document: Path) -> tuple[Path, Path]:
    """Run what is not in the cache yet, draw, and rewrite the marked part of `document`; figures lie beside it."""
    _around(document)  # a document without a place is said now, not after an hour
    prepare_originals(request, plan.workers)
    specs = _with_donors(request, plan.methods)
    experiments = plan_experiments(request, plan.pairs, everything=request.limit is None)
    prepare_lfw(experiments.request, plan.pairs, plan.workers)
    names = {spec: replace(request, method=spec).choice.name for spec in specs}
    documents = run_groups([*experiments.groups, *_method_groups(request, plan, specs, names)], plan.workers)
    scorecard = condense(request, documents, experiments.out, len(experiments.keys))
    cfa = {name: documents[name] for name in ("lfw", "quality")}
    measured = {name: {kind: documents[f"{name} {kind}"] for kind in cfa} for name in names.values()}
    methods = method_table({"cfa, loop on": cfa, "cfa, loop off": cfa, **measured})
    ablation = _ablation(request, plan)
    figures = document.parent / "figures"
    _draw(request, (experiments.out, figures), methods, specs)
    chapters = _chapters(documents, read_document(scorecard[0]), methods, ablation)
    part = "\n".join([BEGIN, *_header(documents["lfw"], request), *_show(chapters, figures), END])
    for judge in documents["lfw"]["recognizers"]:
        part = part.replace(judge, short(judge))
    before, after = _around(document)  # as it is now: it may have been edited in the meantime
    document.write_text(before + part + after, encoding="utf-8")
    return scorecard[0], document


def _around(document: Path) -> tuple[str, str]:
    """What stands before and after the marked part; InputError where there is none."""
    text = document.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise InputError(f"{document} has no place for results: put {BEGIN!r} and {END!r} into it")
    return text[: text.index(BEGIN)], text[text.index(END) + len(END) :]


def _with_donors(request: Request, methods: Sequence[str]) -> list[str]:
    """Method specs, those that borrow faces with a file of donors: one of SRC where none is named."""
    file = request.out / "donors.safetensors"
    if set(methods) & set(BORROWING) and not file.is_file():
        write_donors(replace(request, method="mask", recognizers=(), limit=None, cache=request.out), file)
    return [f"{method}:{file}" if method in BORROWING else method for method in methods]


def _method_groups(request: Request, plan: ResultsPlan, specs: Sequence[str], names: Mapping[str, str]) -> list[Group]:
    known = {sample.key for sample in list_samples(list_shards(request.source))}
    limit = _few(request, plan)
    pairs = first_of_each_fold(read_pairs(plan.pairs, known), limit)
    keys = tuple(dict.fromkeys(pair.right for pair in pairs if pair.same))
    groups: list[Group] = []
    for spec in specs:
        one = replace(request, method=spec, limit=limit, whole_gallery=True, cache=request.out)
        one = replace(one, out=request.out / "methods")
        groups.append(
            {
                f"{names[spec]} lfw": partial(evaluate_lfw, one, plan.pairs),
                f"{names[spec]} quality": partial(evaluate_quality, replace(one, keys=keys), _DETECTORS),
            }
        )
    return groups


def _few(request: Request, plan: ResultsPlan) -> int:
    """Same pairs of what is compared only with one another."""
    return plan.method_pairs if request.limit is None else min(plan.method_pairs, request.limit)


def method_table(documents: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """One row a method and recognizer, from the documents of lfw and quality."""
    rows: list[list[Cell]] = []
    for name, kinds in documents.items():
        title = name if name.startswith("cfa") else ""
        likeness = [
            cells(kinds["quality"], f"Table 3, likeness: {title}", "mean", {"measure": measure, "faces": "all"})[0][1]
            for measure in ("SSIM", "PSNR, dB", "sharpness, released / original")
        ]
        found = [
            cells(kinds["quality"], f"Table 3, faces still found: {title}", "of those found before",
                  {"detector": detector, "faces": "all"})[0][1]
            for detector in _DETECTORS
        ]  # fmt: skip
        attacked = (f"Table 1: {title}", "pooled", {**_TPR, "attacker": "at the original's landmarks"})
        for row, tpr in cells(kinds["lfw"], *attacked):
            judge = str(row["recognizer"])
            kind = f"{title}, {judge}" if title else ""
            ranks = [
                cell
                for table in kinds["lfw"]["tables"]
                if table["title"].startswith("Table 2, ranks") and table["title"].endswith(kind or judge)
                for cell in _first_rank(table)
            ]
            rows.append([name, judge, tpr, ranks[0], *likeness, *found])
    return Table(
        "Methods side by side",
        "Measured here, on the right pictures of the same pairs (n in each cell: the older methods on the first of "
        "them), thresholds from all impostor pairs of the data. TPR at FAR 1e-3 and rank 1 for an attacker who knows "
        "where the face was; the own original is in the gallery. Likeness inside the MTCNN box. Found: of the faces "
        "that the detector found before.",
        (
            "method",
            "recognizer",
            "TPR at FAR 1e-3",
            "rank 1",
            "SSIM",
            "PSNR, dB",
            "sharpness",
            "found, mtcnn",
            "found, dlib-hog",
        ),
        rows,
    )


def _first_rank(stored: Mapping[str, Any]) -> list[Cell]:
    wanted = {"probe": "after, own original in the gallery"}
    return [cell for _, cell in cells({"tables": [stored], "experiment": "lfw"}, "Table 2", "rank 1", wanted)]


def _ablation(request: Request, plan: ResultsPlan) -> Mapping[str, Any] | None:
    if not plan.ablation:
        return None
    few = replace(request, limit=_few(request, plan), whole_gallery=True, cache=request.out)
    return read_document(evaluate_ablation(few, plan.pairs, plan.ablation, plan.workers)[0])


def _draw(request: Request, folders: tuple[Path, Path], methods: Table, specs: Sequence[str]) -> None:
    experiments, figures = folders
    draw_experiments(experiments, figures)
    for judge in dict.fromkeys(str(row[1]) for row in methods.rows):
        rows = [MethodRow(str(r[0]), r[2], r[4], r[7]) for r in methods.rows if r[1] == judge]
        method_rows(rows, figures / f"methods-{short(judge)}.png", judge)
    draw_portraits(request, ["cfa", *specs], figures)


Shown = tuple[Table, str]
"""A table, and where and when its numbers were measured."""


def _chapters(
    documents: Mapping[str, Mapping[str, Any]],
    scorecard: Mapping[str, Any],
    methods: Table,
    ablation: Mapping[str, Any] | None,
) -> list[tuple[str, list[Shown]]]:
    lfw = documents["lfw"]
    chapters = [("Scorecard", _shown(lfw, [as_table(table) for table in scorecard["tables"]]))]
    chapters.append(("Methods", _shown(lfw, [methods])))
    measured = {f"cfanet evaluate {name}": documents[name] for name in EXPERIMENTS}
    measured |= {} if ablation is None else {"cfanet evaluate ablation": ablation}
    for title, document in measured.items():
        chapters.append((title, _shown(document, [as_table(table) for table in document["tables"]])))
    chapters.append(("Not measured here", [(not_measured_table(ablation is None), "")]))
    chapters.append(("Published by others", [(table, "") for table in published_tables()]))
    return chapters


def _shown(document: Mapping[str, Any], tables: Sequence[Table]) -> list[Shown]:
    return [(table, provenance(document, table)) for table in tables]


def provenance(document: Mapping[str, Any], table: Table) -> str:
    """One line under a table: data, what n is, which intervals, when."""
    found = [cell for row in table.rows for cell in row if isinstance(cell, Measured) and cell.low is not None]
    intervals = ", ".join(dict.fromkeys(cell.interval for cell in found)) or "none"
    shards = document["data"]
    data = shards[0] if len(shards) == 1 else f"{shards[0]} to {shards[-1]}"
    return f"*Data: {data}; n in the cells; intervals: {intervals}; measured on {str(document['date'])[:10]}.*"


def _header(document: Mapping[str, Any], request: Request) -> list[str]:
    return [
        "",
        f"Written by `cfanet evaluate results` on {str(document['date'])[:10]}, from `{request.out.name}`.",
        f"Data: {', '.join(document['data'])} (SHA-256 {str(document['data SHA-256'])[:16]}…), "
        f"{document['pictures in the data']:,} pictures. Untouched pairs: {document['untouched pairs']}; of these "
        f"anonymized with cfa: {document['pairs used']}, from {document['pairs']}. "
        f"Generator SHA-256 {str(document['model SHA-256'])[:16]}…, seed {document['seed']}. "
        f"Versions: {', '.join(f'{name} {version}' for name, version in document['versions'].items())}.",
    ]


def _show(chapters: Sequence[tuple[str, list[Shown]]], figures: Path) -> list[str]:
    lines: list[str] = []
    side_by_side = {path.stem: METHODS for path in sorted(figures.glob("methods-*.png"))}
    pictures = {**FIGURES, "Methods": {**side_by_side, **FIGURES["Methods"]}}
    for title, tables in chapters:
        lines += ["", f"## {title}"]
        for table, source in tables:
            lines += [] if table.title == title else ["", f"### {table.title}"]
            lines += ["", table.protocol, "", *table_lines(table)]
            lines += ["", source] if source else []
        for name, caption in pictures.get(title, {}).items():
            if (figures / f"{name}.png").is_file():
                lines += ["", f"![{name}](figures/{name}.png)", "", f"*{caption}*"]
    return [*lines, ""]
