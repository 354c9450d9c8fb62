"""Sphinx extension of this book.

- A link goes to what a name means, wherever that is described: `Energy` in
  a module that imports it, `fit` and `ebmlearn.fit` of the package.
- The fields of a named tuple are described in its docstring, once.
- Figures, equations, theorems and exercises carry the number of their
  chapter, which its file name has: Figure 8.2. Sphinx numbers by the table
  of contents, where chapters that are not written yet would be missing.
- The whole book on one page, to print, is written as its pages are.
- Buttons to the repository and to Binder, once it has an address.
- No thebe: Jupyter Book adds its scripts (twice, an error in the console),
  but running cells on a page would need a server elsewhere.
"""

import importlib
import re

from sphinx.environment.collectors.toctree import TocTreeCollector


def find(name: str):
    """The object that a dotted name means, or None."""
    parts = name.split(".")
    # what a package exports goes before its module of the same name
    for i in range(max(1, len(parts) - 1), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ImportError:
            continue
        for part in parts[i:]:
            found = getattr(found, part, None)
        return found
    return None


def resolve(app, env, node, contnode):
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    # an alias such as Data names itself, in whatever module it is used
    places = f"{node.get('py:module')}.", "ebmlearn.", "ebmlearn.train."
    for scope in ("", *places):
        name = scope + node["reftarget"]
        found = find(name) if name.startswith("ebmlearn.") else None
        if found is None:
            continue
        own = [n for n in domain.objects if n.startswith("ebmlearn")]
        for place in (n for n in own if find(n) is found):
            where = env, node["refdoc"], app.builder
            return domain.resolve_xref(
                *where, "obj", place, node, contnode
            )
        if hasattr(found, "__qualname__"):
            # another project's: intersphinx comes later and looks for this
            node["reftarget"] = f"{found.__module__}.{found.__qualname__}"
            return None
    return None


def skip(app, what, name, found, skip, options):
    doc = str(getattr(found, "__doc__", ""))
    return True if doc.startswith("Alias for field number") else None


def number_by_chapter(app, env):
    found = {d: re.match(r"book/(\d+)_", d) for d in env.found_docs}
    of_sections = env.toc_secnumbers
    # '' is the whole page; titles have their numbers already
    env.toc_secnumbers = {
        d: {"": (int(match[1]),)} for d, match in found.items() if match
    }
    try:
        return TocTreeCollector().assign_figure_numbers(env)
    finally:
        env.toc_secnumbers = of_sections


def drop_thebe(app, page, template, context, doctree):
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script.filename}{script.attributes}"
    ]


def print_as_html(app):
    """One page of everything (make pdf) is written as the pages are.

    Some extensions say how for `singlehtml` too, and Sphinx then forgets
    the others, which speak of `html` only.
    """
    known = app.registry.translation_handlers
    known["singlehtml"] = known["html"] | known.get("singlehtml", {})
    if app.builder.name == "singlehtml":
        # formulas are looked for on the first page only
        app.config.html_assets_policy = "always"


def buttons(app, config):
    options = config.html_theme_options
    if options.get("repository_url"):
        options["use_repository_button"] = True
        options["use_issues_button"] = True
    else:  # they would lead nowhere
        options["launch_buttons"] = {}


def setup(app):
    app.connect("config-inited", buttons)
    app.connect("builder-inited", print_as_html)
    app.connect("html-page-context", drop_thebe)
    app.connect("env-get-updated", number_by_chapter, priority=600)
    app.connect("missing-reference", resolve, priority=400)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
