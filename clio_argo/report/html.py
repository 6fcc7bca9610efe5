"""The report of a run as one HTML file, from the templates beside this module.

The page loads nothing but the pictures beside it, and is whole without its script: Argo serves artifacts under a policy
that allows inline styles, inline SVG and images of the same place, and nothing else.
"""

from functools import cache
from shlex import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from clio_argo.model.sizes import describe_sizes
from clio_argo.report import curves, headline, overview, script, tables
from clio_argo.report.data import ReportData
from clio_argo.report.formats import dollars, duration, plural, px, relative_url, size, thousands, visible, xyz
from clio_argo.report.plots import Plot, Strip
from clio_argo.report.walk import walk

# what concerns a pair of slices is not marked in curves that have one value per slice
OF_SLICES = ("bad", "missing", "suspect", "break")


def report_html(data: ReportData) -> str:
    """The whole page, in the order in which a person asks: how did it end, does it look right, what is wrong."""
    z = (data.plan.minz, data.plan.maxz)
    marks = overview.find_marks(data)
    of_slices = [m for m in marks if m.kind in OF_SLICES]
    pair_plots = [Plot(z, marks, curve) for curve in curves.pair_curves(data)]
    slice_plots = [Plot(z, of_slices, curve) for curve in curves.slice_curves(data)]
    page = environment().get_template("page.html.j2")
    return page.render(
        data=data,
        marks=marks,
        strip=Strip(z, marks),
        pair_plots=pair_plots,
        slice_plots=slice_plots,
        walk=walk(data, [*pair_plots, *slice_plots]),
        script=script,
        headline=headline,
        overview=overview,
        tables=tables,
    )


@cache  # it takes about 0.2 s to compile the templates, and a run writes two reports
def environment() -> Environment:
    """Templates in which every value is escaped and an unknown name is an error."""
    # a name that a template misspells stops the tests instead of leaving a gap on the page
    templates = Environment(
        loader=PackageLoader("clio_argo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (relative_url, thousands, plural, px, xyz, size, dollars, duration, describe_sizes, quote)
    templates.filters.update({f.__name__: f for f in filters})
    return templates
