import json
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from audit.config import AuditSettings
from audit.evidence import Evidence
from audit.gate import decide
from audit.metrics import measure
from audit.records import AuditedShard, RunInfo
from audit.report import build_report, render, report_json, write_report
from cfanet.records import FaceDecision
from tests.audit.fakes import audited_shard, run_info, sqlite_at, write_run

AT = "2026-01-05T10:09:00Z"
SETTINGS = AuditSettings(recognizers=("fake",))


def _report(
    directory: Path, *shards: AuditedShard, run: RunInfo | None = None, settings: AuditSettings = SETTINGS
) -> dict[str, Any]:
    with Evidence(sqlite_at(directory)) as evidence:
        rows = evidence.read_run(write_run(evidence, shards, run))
    measured = measure(rows, settings)
    return build_report(rows, measured, decide(measured, settings.gate, rows), settings, AT)


class _Page(HTMLParser):
    """Collects references, scripts and the text that a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._hidden += tag == "style"
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u202f", "").split())


def test_equal_evidence_gives_an_equal_report_whatever_the_order(tmp_path: Path) -> None:
    shards = [audited_shard("a.tar", 30, leaks=1), audited_shard("b.tar", 20, start=30)]
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    one, other = _report(tmp_path / "x", *shards), _report(tmp_path / "y", *shards[::-1])
    assert report_json(one) == report_json(other)
    assert render(one) == render(other)


def test_the_json_holds_the_numbers_and_the_page_shows_them(tmp_path: Path) -> None:
    report = _report(tmp_path, audited_shard("a.tar", 201, leaks=4))
    as_json, as_html = write_report(report, tmp_path / "out")
    assert json.loads(as_json.read_text()) == report
    text = _Page(as_html.read_text()).text
    judge = report["measured"]["judgements"][0]
    assert judge["mated"]["replaced"]["hits"] == 4
    assert "must not be released" in text
    assert "matches 4 of 180" in text
    assert " ".join(report["verdict"]["reasons"][0].replace("\u202f", "").split()) in text
    assert judge["worst"][0]["face"] in text
    assert report["run"]["config_sha256"] in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.json", "report.html"}


def test_a_pass_is_said_first(tmp_path: Path) -> None:
    text = _Page(render(_report(tmp_path, audited_shard("a.tar", 401)))).text
    assert text.index("This dataset may be released.") < text.index("The checks") < text.rindex("What was not covered")


def test_a_pass_that_rests_on_few_faces_says_so_beside_the_verdict(tmp_path: Path) -> None:
    for n in (41, 1501):
        (tmp_path / str(n)).mkdir()
    few, many = (_Page(render(_report(tmp_path / str(n), audited_shard("a.tar", n)))).text for n in (41, 1501))
    assert "may be released" in few and "Few faces: " in few[: few.index("The checks")]
    assert "may be released" in many and "of these checks rest on so few" not in many
    assert few.index("Who was assumed to attack") < few.index("Before signing")


def test_the_page_is_one_file_without_scripts(tmp_path: Path) -> None:
    page = _Page(render(_report(tmp_path, audited_shard("a.tar", 41))))
    assert page.tags.count("svg") == 3
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert [link for link in page.links if not link.startswith("#")] == []


def test_plots_take_their_colours_from_the_page(tmp_path: Path) -> None:
    text = render(_report(tmp_path, audited_shard("a.tar", 41)))
    for name in ("nonmated", "mated", "replaced", "obscured", "limit", "ink"):
        assert f"var(--{name})" in text
    assert "#060708" not in text


def test_hostile_names_are_text(tmp_path: Path) -> None:
    run = run_info(output_uri="/data/<script>alert(1)</script>", config_json='{"x":"</pre><script>"}')
    page = _Page(render(_report(tmp_path, audited_shard("<b>&.tar", 5), run=run)))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


def test_what_is_not_covered_depends_on_the_run(tmp_path: Path) -> None:
    titles = {
        gap["title"]
        for gap in _report(
            tmp_path,
            audited_shard("a.tar", 5),
            run=run_info(identity="per_subject"),
            settings=AuditSettings(recognizers=("fake",), second_detector="none"),
        )["not_covered"]
    }
    assert {
        "Missed faces",
        "Anonymity in the strict sense",
        "Stronger learners",
        "Differences between groups of people",
    } <= titles
    plain = {gap["title"] for gap in _report(tmp_path, audited_shard("a.tar", 5), run=run_info("other"))["not_covered"]}
    assert not {"Missed faces", "Anonymity in the strict sense"} & plain


def test_a_report_on_videos_says_what_frames_cannot_prove(tmp_path: Path) -> None:
    run = replace(run_info(), data_format="video")
    titles = {gap["title"] for gap in _report(tmp_path, audited_shard("a.mp4", 5), run=run)["not_covered"]}
    assert {"How sure the rates of videos are", "Voices, and the way people move"} <= titles


def test_angles_count_every_replaced_face(tmp_path: Path) -> None:
    report = _report(tmp_path, audited_shard("a.tar", 41), audited_shard("b.tar", 21, start=41))
    assert [one["name"] for one in report["angles"]] == ["generator's identity space", "fake"]
    for one in report["angles"]:
        assert sum(cell[2] for cell in one["cells"]) == sum(line["n"] for line in one["summary"]) == 54
    assert sum(report["attempts"].values()) == 54


def test_remarks_on_faces_are_counted(tmp_path: Path) -> None:
    shard = audited_shard("a.tar", 41)
    remarks = {FaceDecision.REPLACED: "made of a softened look", FaceDecision.OBSCURED: "too small to be judged"}
    counts = Counter(face.record.decision for picture in shard.pictures for face in picture.faces if face.record)
    pictures = [
        replace(
            picture,
            faces=tuple(
                replace(face, record=face.record and replace(face.record, detail=remarks[face.record.decision]))
                for face in picture.faces
            ),
        )
        for picture in shard.pictures
    ]
    report = _report(tmp_path, replace(shard, pictures=tuple(pictures)))
    assert report["face_details"] == {
        decision: {remark: counts[decision]} if counts[decision] else {} for decision, remark in remarks.items()
    }
    assert f"made of a softened look ({counts[FaceDecision.REPLACED]})" in _Page(render(report)).text


def test_an_empty_run_and_a_run_without_angles_can_be_drawn(tmp_path: Path) -> None:
    empty = _report(tmp_path)
    assert empty["angles"] == []
    assert _Page(render(empty)).tags.count("svg") == 2
    shard = audited_shard("a.tar", 3)
    quarantined = replace(shard, pictures=shard.pictures[-1:])
    assert "undecodable" in _Page(render(_report(tmp_path, quarantined, run=run_info("other")))).text


def test_no_picture_and_no_template_is_in_it(tmp_path: Path) -> None:
    text = report_json(_report(tmp_path, audited_shard("a.tar", 21)))
    assert "embedding" not in text.replace("identity-branch", "")
    assert "base64" not in text
