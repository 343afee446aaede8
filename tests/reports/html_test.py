import html as standard_html
import re

import pytest

from dsl_tf.errors import UserError
from dsl_tf.reports import html


def _page(folder) -> str:
    file = html.write_report(folder)
    assert file == folder / "report.html"
    return file.read_text("utf-8")


@pytest.fixture(scope="module")
def page(write_run, tmp_path_factory) -> str:
    """The page of the sparse run as it is."""
    return _page(write_run(tmp_path_factory.mktemp("html") / "run"))


def test_the_page_holds_numbers_with_interval_and_popularity(page):
    assert "<b>0.3750</b>" in page
    assert "95 % interval [0.1250, 0.6250]\npopularity 0.1250" in page
    assert "protocol full_ranking; 4 users; no refit" in page
    assert ">nnz<" in page
    assert "2 duplicates were dropped." in page


def test_the_page_holds_config_costs_and_history(page):
    text = re.sub(r"<[^>]+>", " ", page)
    words = " ".join(standard_html.unescape(text).split())
    assert "sparsity.target 0.75" in words
    assert "training MACs 2.00 GMAC derived" in words
    layer = "select inner product 600.00 MMAC 1.20 GMAC 1.80 GMAC"
    assert f"together {layer} select update of table 200.00 MMAC" in words
    assert "over the 600.0 MB of the process after its imports" in words
    assert "2 20 0.5 0.5 0.25 1.5 400" in words
    assert "version of tensorflow 2.21.0" in words


def test_the_page_needs_nothing_beside_it(page):
    assert page.count('src="data:image/png;base64,iVBORw0KGgo') == 4
    sources = re.findall(r"""(?:src|href)=["']([^"']{0,20})""", page)
    assert all(source.startswith("data:") for source in sources)
    assert "@import" not in page
    assert "url(" not in page


def test_a_dense_page_has_no_sparse_figures_or_columns(make_run):
    folder = make_run(dense=True)
    history = (folder / "history.csv").read_text().replace(",400\n", ",\n")
    (folder / "history.csv").write_text(history)
    page = _page(folder)
    assert page.count("<figure>") == 2
    assert ">nnz<" not in page


def test_the_page_says_what_chose_the_epoch(page, make_run):
    chosen = "The best epoch was chosen on validation; the test set was read once"
    assert chosen in page
    without = _page(make_run(metrics={"valid": {}}))
    assert chosen not in without
    last = "The last epoch was taken, without validation; the test set was read once"
    assert last in without
    assert "; last epoch, no validation" in without


def test_hostile_names_are_only_text(make_run):
    hostile = "<script>alert('&')</script>"
    folder = make_run(data={"name": hostile, "warnings": [f"{hostile} is odd"]})
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "users.txt").write_text(f"{hostile}\n")
    page = _page(folder)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(") >= 4  # title, heading, warning, command
    assert "&amp;lt;" not in page


@pytest.mark.parametrize("users", ["all", "none"])
def test_the_snippets_are_python(make_run, users):
    folder = make_run("it's", config={"export": {"k": 20, "users": users}})
    (folder / "saved_model").mkdir()
    (folder / "model.tflite").touch()
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "items.txt").touch()
    blocks = re.findall(r"<pre>(.*?)</pre>", _page(folder), re.DOTALL)
    _shell, saved_model, lite_model = map(standard_html.unescape, blocks)
    for snippet in (saved_model, lite_model):
        compile(snippet, "snippet", "exec")
        assert repr(str(folder))[1:-1] in snippet
    assert 'signatures["serving_default"]' in saved_model
    runner = {"all": '("recommend")', "none": '("recommend_vector")'}[users]
    assert runner in lite_model


def test_files_that_were_not_exported_have_no_snippet(page):
    assert "LiteRT" not in page


def test_a_run_of_seeds_has_a_page(make_run_of_seeds):
    page = _page(make_run_of_seeds())
    assert "std over seeds 0.1250" in page
    assert "mean of seeds 3, 4" in page


def test_an_unfinished_run_has_no_page(tmp_path):
    with pytest.raises(UserError, match="a finished run"):
        html.write_report(tmp_path)
    assert not list(tmp_path.iterdir())
