"""Formulas as MathML: docutils writes it, and browsers draw it without a script."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

APPLY = "<mo>&ApplyFunction;</mo>"  # between log and p; browsers add no space there


def mathml(node, as_block):
    return tex2mathml(node.astext(), as_block).replace(APPLY, f'{APPLY}<mspace width="0.15em"/>')


def inline(translator, node):
    translator.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def block(translator, node):
    translator.body.append(f'<div class="formula">{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True}
