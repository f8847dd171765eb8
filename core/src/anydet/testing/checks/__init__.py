"""Each check is one function: its docstring is what it holds, its asserts say what to change."""
