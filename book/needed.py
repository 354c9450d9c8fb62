"""What of a chapter's hidden cells the cells below them use.

Hidden cells hold the asserts of a chapter, and some compute what a table
further down shows. A copy without them must still run.
"""

import ast
import symtable


def kept(codes: list[str], hidden: list[bool]) -> list[str]:
    """The code of each cell without the hidden parts that nothing uses.

    Args:
        codes: The source of every code cell, in order.
        hidden: Which of them are hidden.

    Returns:
        As many sources. One that is not hidden is as it was; of a hidden
        one those statements are left that bind or change a name which a
        later one uses, without asserts; it may be empty.
    """
    out, needed = list(codes), set()
    for i in reversed(range(len(codes))):
        left = []
        for node in reversed(ast.parse(codes[i]).body):
            if hidden[i]:
                bare = _without_asserts(node)
                if bare is None or not _changes(bare) & needed:
                    continue
                same = ast.dump(bare) == ast.dump(node)
                code = ast.get_source_segment(codes[i], node)
                left.append(code if same else ast.unparse(bare))
                node = bare
            needed = needed - _binds(node) | _uses(node)
        if hidden[i]:
            out[i] = "\n".join(reversed(left))
    return out


class _Strip(ast.NodeTransformer):
    def visit_Assert(self, node):
        return None


def _without_asserts(node):
    """A statement without asserts; None if nothing else was in it."""
    node = _Strip().visit(ast.parse(ast.unparse(node)).body[0])
    if node is None or getattr(node, "body", True) == []:
        return None
    return node


def _uses(node) -> set[str]:
    """Names that a statement takes from what is above it."""
    if isinstance(node, ast.For | ast.With):
        if isinstance(node, ast.For):
            heads, bound = [node.iter], _stored(node.target)
        else:
            heads = [item.context_expr for item in node.items]
            bound = set().union(*(_stored(item) for item in node.items))
        found = set().union(*(_uses(ast.Expr(head)) for head in heads))
        for inner in node.body:
            found |= _uses(inner) - bound
            bound |= _binds(inner)
        return found

    def walk(table, top: bool) -> set[str]:
        names = {
            s.get_name()
            for s in table.get_symbols()
            if s.is_referenced() and (top or s.is_global())
        }
        return names.union(*(walk(t, False) for t in table.get_children()))

    code = ast.unparse(ast.fix_missing_locations(node))
    return walk(symtable.symtable(code, "cell", "exec"), True)


def _binds(node) -> set[str]:
    """Names that have a new value after a statement, whatever happens."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(a.asname or a.name).partition(".")[0] for a in node.names}
    if isinstance(node, ast.Assign):
        return _stored(node)
    return set()


def _stored(node) -> set[str]:
    names = (n for n in ast.walk(node) if isinstance(n, ast.Name))
    return {n.id for n in names if isinstance(n.ctx, ast.Store)}


def _changes(node) -> set[str]:
    """Names that a statement binds, or whose value it may change."""
    found = _binds(node) | _stored(node)
    for part in ast.walk(node):
        call = isinstance(part, ast.Call) and isinstance(
            part.func, ast.Attribute
        )
        target = part.func if call else part
        if call or isinstance(getattr(part, "ctx", None), ast.Store):
            while isinstance(target, ast.Attribute | ast.Subscript):
                target = target.value
            if isinstance(target, ast.Name):
                found.add(target.id)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            found |= _binds(part)
    return found
