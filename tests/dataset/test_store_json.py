"""JSON in a dataset that somebody else wrote, or that lies: made again where it can be, named where not."""

import json

import pytest
from annotated import annotate

from boltzformer.cli.cli import run
from boltzformer.dataset import Dataset

DEEP = "[" * 100_000


def test_an_index_of_any_form_is_made_again(store: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    case = store.add(annotate()).folder.parents[1].name
    index = store.path / "index.json"
    good = json.loads(index.read_text("utf-8"))
    row = good["cases"][case]
    rows = [{**row, key: value} for key in row for value in (None, 5, [None], {"a": None}, "x")]
    for text in [json.dumps({"cases": {case: one}}) for one in rows] + ["[]", "null", DEEP, '{"cases": null}']:
        index.write_text(text, "utf-8")
        assert run(["dataset", "list", str(store.path)]) == 0, text[:200]
        assert "2 reviewed" in capsys.readouterr().out.replace("1 reviewed, 1 reviewed-empty", "2 reviewed")


@pytest.mark.parametrize("name", ["dataset.json", "case.json", "revision.json", "split.json"])
def test_a_deeply_nested_file_of_a_dataset(store: Dataset, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    store.add(annotate())
    [file] = store.path.rglob(name)
    file.write_text(DEEP, "utf-8")
    code = run(["dataset", "check", str(store.path)])
    said = "".join(capsys.readouterr())
    assert code in (1, 2)
    assert "is damaged" in said
    assert "Traceback" not in said
