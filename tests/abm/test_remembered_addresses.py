"""`{% url %}` gives what Django's own gives, the second time as well."""

from __future__ import annotations

import pytest
from django.http import HttpRequest
from django.template import Context, RequestContext, Template
from django.test import RequestFactory, override_settings
from django.test.utils import override_script_prefix
from django.urls import NoReverseMatch

from abm.templatetags import addresses


def drawn(text: str, **values: object) -> str:
    return Template(text).render(Context(values))


def test_it_is_asked_for_once() -> None:
    addresses._escaped.cache_clear()
    text = "{% url 'engines:engine' pk %}"

    assert [drawn(text, pk=pk) for pk in (7, 8, 7)] == ["/engines/7/", "/engines/8/", "/engines/7/"]
    assert addresses._escaped.cache_info()[:2] == (1, 2)


def test_named_arguments_and_as_are_djangos() -> None:
    assert drawn("{% url 'jobs:job' pk=3 %}") == "/jobs/3/"
    assert drawn("{% url 'jobs:job' 3 as there %}[{{ there }}]") == "[/jobs/3/]"
    assert drawn("{% url 'nowhere' as there %}[{{ there }}]") == "[]"


def test_what_is_nowhere_is_an_error_each_time() -> None:
    for _ in range(2):
        with pytest.raises(NoReverseMatch):
            drawn("{% url 'nowhere' %}")


def test_another_prefix_or_table_of_addresses_is_another_address() -> None:
    text = "{% url 'jobs:list' %}"
    assert drawn(text) == "/jobs/"

    with override_script_prefix("/abm/"):
        assert drawn(text) == "/abm/jobs/"
    with override_settings(ROOT_URLCONF="jobs.urls"), pytest.raises(NoReverseMatch):
        drawn(text)
    assert drawn(text) == "/jobs/"


def test_the_pages_own_namespace_counts(rf: RequestFactory) -> None:
    request: HttpRequest = rf.get("/")
    request.current_app = "jobs"  # type: ignore[attr-defined]

    page = Template("{% url 'jobs:job' 3 %}")
    assert page.render(RequestContext(request)) == "/jobs/3/"
    addresses._escaped.cache_clear()
    request.current_app = None  # type: ignore[attr-defined]
    assert page.render(RequestContext(request)) == "/jobs/3/"
    assert addresses._escaped.cache_info().currsize == 1
    del request.current_app  # type: ignore[attr-defined]
    # None was chosen and nobody's namespace is the same.
    assert page.render(RequestContext(request)) == "/jobs/3/"
    assert addresses._escaped.cache_info().currsize == 1
