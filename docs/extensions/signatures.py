"""Whole signatures: to `inspect`, the objectives show the three arguments that LightGBM counts."""

from inspect import Parameter, Signature

from sphinx.util.inspect import stringify_signature


def whole(app, what, name, function, options, arguments, returned):
    if not hasattr(function, "__signature__") or not hasattr(function, "__code__"):
        return None
    code, defaults = function.__code__, function.__kwdefaults__ or {}
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    positional = names[: code.co_argcount]
    given = dict(zip(reversed(positional), reversed(function.__defaults__ or ()), strict=False))
    parameters = [
        Parameter(
            name,
            Parameter.POSITIONAL_OR_KEYWORD if name in positional else Parameter.KEYWORD_ONLY,
            default=(given | defaults).get(name, Parameter.empty),
        )
        for name in names
    ]
    return stringify_signature(Signature(parameters)), None


def setup(app):
    app.connect("autodoc-process-signature", whole)
    return {"parallel_read_safe": True}
