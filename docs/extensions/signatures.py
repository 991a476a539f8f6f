"""Full signatures: to `inspect`, the objectives show only the three that LightGBM expects."""

import inspect
from types import FunctionType

from sphinx.util.inspect import stringify_signature


def full_signature(_app, _what, _name, function, *_):
    shortened = isinstance(function, FunctionType) and "__signature__" in vars(function)
    if not shortened or function.__closure__:  # scikit-learn's metadata methods have a closure
        return None
    bare = FunctionType(function.__code__, {}, argdefs=function.__defaults__)
    bare.__kwdefaults__ = function.__kwdefaults__
    return stringify_signature(inspect.signature(bare)), None


def setup(app):
    app.connect("autodoc-process-signature", full_signature)
    return {"parallel_read_safe": True}
