"""What `new` writes: model files and their tests, read as text and never imported.

They are modules, so that formatter, linter and type checker see what an author gets. `my_model` is
replaced by the name of the model.
"""
